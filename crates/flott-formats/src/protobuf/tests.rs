//! What Java's Protobuf and Flink answer is what these tests expect.
