//! Store and lease over embedded SQLite.
