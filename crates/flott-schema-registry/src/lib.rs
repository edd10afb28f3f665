//! A client of the schema registry that goes by Confluent's REST API.
