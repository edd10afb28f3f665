//! What records of each program look like.

/// What a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Insert,
    Update,
    Delete,
    /// Nothing to a row: a table is created.
    Nothing,
}

/// How the rows before and after a change stand in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    /// Each is whole; a deletion has one before.
    Whole,
    /// Before the change only what differs; a deletion has its row where others have the one after.
    Differing,
    /// The same, several rows at a time.
    DifferingArrays,
}

/// A program's records.
#[derive(Debug)]
pub(super) struct Shape {
    /// The format's name, and what the keys of its options begin with.
    pub format: &'static str,
    pub doc: &'static str,
    /// Who writes such records.
    pub program: &'static str,
    /// The key of the row before the change.
    pub before: &'static str,
    /// The key of the row after the change.
    pub after: &'static str,
    /// The key of what the record does.
    pub op: &'static str,
    /// What may stand there.
    pub ops: &'static [(&'static str, Change)],
    pub sides: Sides,
}

pub(super) const DEBEZIUM: Shape = Shape {
    format: "debezium-json",
    doc: "Changes as Debezium captures them: the row `before` and `after`, and `op`.",
    program: "Debezium",
    before: "before",
    after: "after",
    op: "op",
    ops: &[("c", Change::Insert), ("r", Change::Insert), ("u", Change::Update), ("d", Change::Delete)],
    sides: Sides::Whole,
};

pub(super) const CANAL: Shape = Shape {
    format: "canal-json",
    doc: "Changes as Canal captures them: rows as `data`, what they were as `old`, and `type`.",
    program: "Canal",
    before: "old",
    after: "data",
    op: "type",
    ops: &[
        ("INSERT", Change::Insert),
        ("UPDATE", Change::Update),
        ("DELETE", Change::Delete),
        ("CREATE", Change::Nothing),
    ],
    sides: Sides::DifferingArrays,
};

pub(super) const MAXWELL: Shape = Shape {
    format: "maxwell-json",
    doc: "Changes as Maxwell captures them: the row as `data`, what it was as `old`, and `type`.",
    program: "Maxwell",
    before: "old",
    after: "data",
    op: "type",
    ops: &[("insert", Change::Insert), ("update", Change::Update), ("delete", Change::Delete)],
    sides: Sides::Differing,
};

pub(super) const OGG: Shape = Shape {
    format: "ogg-json",
    doc: "Changes as Oracle GoldenGate captures them: the row `before` and `after`, and `op_type`.",
    program: "Ogg",
    before: "before",
    after: "after",
    op: "op_type",
    ops: &[("I", Change::Insert), ("U", Change::Update), ("D", Change::Delete)],
    sides: Sides::Whole,
};
