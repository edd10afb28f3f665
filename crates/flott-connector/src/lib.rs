//! The seams Source, Sink and Format, and the dead-letter queue.
