//! Messages of the format `raw`.

#![no_main]

flott_fuzz::target!("raw");
