//! Messages of the format `ogg-json`.

#![no_main]

flott_fuzz::target!("ogg-json");
