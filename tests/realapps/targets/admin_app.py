"""starlette-admin over one table of SQLite."""

from sqlalchemy import Column, Integer, String, create_engine
from sqlalchemy.orm import declarative_base
from starlette.applications import Starlette
from starlette_admin.contrib.sqla import Admin, ModelView

Base = declarative_base()


class Post(Base):
    __tablename__ = "posts"
    id = Column(Integer, primary_key=True)
    title = Column(String)


engine = create_engine("sqlite:///posts.db", connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)
app = Starlette()
admin = Admin(engine, title="Posts")
admin.add_view(ModelView(Post))
admin.mount_to(app)
