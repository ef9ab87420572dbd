//! What is decided about SQL that Alembic gave, and what is written of it.
