//! All that the formats do, from the outside.
