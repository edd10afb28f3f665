//! Values as text, as Flink's `CAST(… AS STRING)` spells them.
