//! Messages of the format `protobuf-confluent`.

#![no_main]

flott_fuzz::target!("protobuf-confluent");
