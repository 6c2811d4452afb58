"""The same small app in each framework, and how to send it requests within the process."""
