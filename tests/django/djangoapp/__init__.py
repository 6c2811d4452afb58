"""A Django project whose every layer fails on demand; `plan` says where and how."""
