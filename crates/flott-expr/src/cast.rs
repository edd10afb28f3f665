//! `CAST` and `TRY_CAST`: which conversions exist, and how values convert.
