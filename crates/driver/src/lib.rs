//! The traits between dormouse and the world, and the suite every implementation must pass.
