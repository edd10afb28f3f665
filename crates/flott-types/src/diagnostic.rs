//! What goes wrong, said so that a user can act: what, where, what to do.
//!
//! Every diagnostic has a [`Code`]; each code has a page `docs/errors/<code>.md`, and a test
//! fails when one is missing. The command line renders a [`Span`] with the SQL underlined.

use std::fmt;

/// A half-open byte range in the script's text (after `${…}` substitution).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// A range of bytes.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
    /// The smallest range that holds both.
    #[must_use]
    pub fn union(self, other: Span) -> Span {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Span::new(self.start.min(other.start), self.end.max(other.end))
    }
    /// Whether the span points at nothing (a node that the planner made).
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }
}

/// Whether a failed command could have been seen before running: decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The script, an option or the arguments are wrong: exit code 2.
    Usage,
    /// The run failed: exit code 1.
    Run,
}

/// An error code. One page in `docs/errors/` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// FLT-1001: the text is not SQL that Flott can parse.
    Syntax,
    /// FLT-1002: Flink has it, Flott doesn't yet.
    NotSupported,
    /// FLT-1003: a `${NAME}` has no value.
    UndefinedVariable,
    /// FLT-1101: no such table or view.
    UnknownTable,
    /// FLT-1102: no such column or field.
    UnknownColumn,
    /// FLT-1103: the name could mean several columns.
    AmbiguousColumn,
    /// FLT-1104: no such function.
    UnknownFunction,
    /// FLT-1105: no signature of the function fits the arguments.
    NoMatchingSignature,
    /// FLT-1106: a value of this type cannot stand here.
    TypeMismatch,
    /// FLT-1107: the name is taken.
    AlreadyExists,
    /// FLT-1108: a definition or query that contradicts itself or the catalog.
    InvalidDefinition,
    /// FLT-1109: a literal outside its type's range or malformed.
    InvalidLiteral,
    /// FLT-1201: no connector or format of this name.
    UnknownConnector,
    /// FLT-1202: an option that doesn't exist here.
    UnknownOption,
    /// FLT-1203: an option's value is malformed.
    InvalidOption,
    /// FLT-1204: a required option is missing.
    MissingOption,
    /// FLT-1205: the table cannot be used this way (e.g. as a sink).
    UnsupportedUse,
    /// FLT-1206: a sink can't hold the guarantee that is asked of it.
    GuaranteeNotHeld,
    /// FLT-1301: the command line's arguments are wrong.
    Arguments,
    /// FLT-2001: an input is missing.
    InputMissing,
    /// FLT-2002: an input cannot be read.
    InputUnreadable,
    /// FLT-2003: an output cannot be written (permissions, full disk, …).
    OutputFailed,
    /// FLT-2004: a record could not be decoded and `'on-error' = 'fail'`.
    DecodeFailed,
    /// FLT-2005: an expression failed on a row and `'on-error' = 'fail'`.
    EvaluationFailed,
    /// FLT-2006: the dead-letter queue cannot be written or read.
    DeadLetterFailed,
    /// FLT-2007: a record is larger than the limit.
    RecordTooLarge,
    /// FLT-2008: a row came behind the watermark for every window it belongs to.
    LateRow,
    /// FLT-2009: a row's time is further ahead of the clock than `'scan.watermark.max-ahead'`.
    RowAhead,
    /// FLT-2101: a checkpoint is damaged, foreign, of another query or of a newer format.
    CheckpointUnusable,
    /// FLT-2102: a checkpoint could not be written.
    CheckpointFailed,
    /// FLT-2103: a newer run of the same job has taken over.
    Superseded,
    /// FLT-2104: another run of the same job is alive.
    AlreadyRunning,
    /// FLT-2105: a changed script would lose what a checkpoint holds.
    StateLost,
    /// FLT-2106: no run of the job answers.
    NotRunning,
    /// FLT-2107: state beyond memory could not be written to `state.dir`, or read back.
    StateSpillFailed,
    /// FLT-2201: a topic isn't there, or not any more.
    TopicMissing,
    /// FLT-2202: a log's brokers don't answer.
    BrokerUnreachable,
    /// FLT-2203: a log's brokers refuse who asks, or what is asked.
    AccessDenied,
    /// FLT-2204: a transaction expired, was fenced, or ended without an answer.
    TransactionLost,
    /// FLT-2205: a log's brokers refuse a message.
    MessageRefused,
    /// FLT-2901: a bug in Flott.
    Internal,
}

impl Code {
    /// All codes.
    pub const ALL: &'static [Code] = &[
        Code::Syntax,
        Code::NotSupported,
        Code::UndefinedVariable,
        Code::UnknownTable,
        Code::UnknownColumn,
        Code::AmbiguousColumn,
        Code::UnknownFunction,
        Code::NoMatchingSignature,
        Code::TypeMismatch,
        Code::AlreadyExists,
        Code::InvalidDefinition,
        Code::InvalidLiteral,
        Code::UnknownConnector,
        Code::UnknownOption,
        Code::InvalidOption,
        Code::MissingOption,
        Code::UnsupportedUse,
        Code::GuaranteeNotHeld,
        Code::Arguments,
        Code::InputMissing,
        Code::InputUnreadable,
        Code::OutputFailed,
        Code::DecodeFailed,
        Code::EvaluationFailed,
        Code::DeadLetterFailed,
        Code::RecordTooLarge,
        Code::LateRow,
        Code::RowAhead,
        Code::CheckpointUnusable,
        Code::CheckpointFailed,
        Code::Superseded,
        Code::AlreadyRunning,
        Code::StateLost,
        Code::NotRunning,
        Code::StateSpillFailed,
        Code::TopicMissing,
        Code::BrokerUnreachable,
        Code::AccessDenied,
        Code::TransactionLost,
        Code::MessageRefused,
        Code::Internal,
    ];

    /// The code as users see it, e.g. `FLT-1101`.
    pub fn id(self) -> &'static str {
        match self {
            Code::Syntax => "FLT-1001",
            Code::NotSupported => "FLT-1002",
            Code::UndefinedVariable => "FLT-1003",
            Code::UnknownTable => "FLT-1101",
            Code::UnknownColumn => "FLT-1102",
            Code::AmbiguousColumn => "FLT-1103",
            Code::UnknownFunction => "FLT-1104",
            Code::NoMatchingSignature => "FLT-1105",
            Code::TypeMismatch => "FLT-1106",
            Code::AlreadyExists => "FLT-1107",
            Code::InvalidDefinition => "FLT-1108",
            Code::InvalidLiteral => "FLT-1109",
            Code::UnknownConnector => "FLT-1201",
            Code::UnknownOption => "FLT-1202",
            Code::InvalidOption => "FLT-1203",
            Code::MissingOption => "FLT-1204",
            Code::UnsupportedUse => "FLT-1205",
            Code::GuaranteeNotHeld => "FLT-1206",
            Code::Arguments => "FLT-1301",
            Code::InputMissing => "FLT-2001",
            Code::InputUnreadable => "FLT-2002",
            Code::OutputFailed => "FLT-2003",
            Code::DecodeFailed => "FLT-2004",
            Code::EvaluationFailed => "FLT-2005",
            Code::DeadLetterFailed => "FLT-2006",
            Code::RecordTooLarge => "FLT-2007",
            Code::LateRow => "FLT-2008",
            Code::RowAhead => "FLT-2009",
            Code::CheckpointUnusable => "FLT-2101",
            Code::CheckpointFailed => "FLT-2102",
            Code::Superseded => "FLT-2103",
            Code::AlreadyRunning => "FLT-2104",
            Code::StateLost => "FLT-2105",
            Code::NotRunning => "FLT-2106",
            Code::StateSpillFailed => "FLT-2107",
            Code::TopicMissing => "FLT-2201",
            Code::BrokerUnreachable => "FLT-2202",
            Code::AccessDenied => "FLT-2203",
            Code::TransactionLost => "FLT-2204",
            Code::MessageRefused => "FLT-2205",
            Code::Internal => "FLT-2901",
        }
    }

    /// Usage (exit code 2) or run (exit code 1).
    pub fn category(self) -> Category {
        if self.id() < "FLT-2" { Category::Usage } else { Category::Run }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing runs, or the run stops.
    Error,
    /// The run goes on.
    Warning,
}

/// A second place worth showing, with a few words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// A few words.
    pub text: String,
}

/// One clear message: what, where, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The code, with its page.
    pub code: Code,
    /// What is wrong, one sentence, lower case, no full stop.
    pub message: String,
    /// Where in the script, if it is about the script. The text beside the underline is `label`.
    pub span: Option<Span>,
    /// Words beside the underline.
    pub label: Option<String>,
    /// Other places.
    pub related: Vec<Label>,
    /// What to do, one line each.
    pub help: Vec<String>,
    /// It may pass by itself: the same may succeed if it is tried again later.
    pub passing: bool,
}

/// A result whose error is a [`Diagnostic`], boxed to keep the good path small.
pub type Result<T, E = Box<Diagnostic>> = std::result::Result<T, E>;

impl Diagnostic {
    /// An error. Returned boxed: that is how it travels.
    pub fn error(code: Code, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: None,
            label: None,
            related: Vec::new(),
            help: Vec::new(),
            passing: false,
        })
    }
    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Box<Self> {
        let mut it = Self::error(code, message);
        it.severity = Severity::Warning;
        it
    }
    /// `not supported yet: <what>`
    pub fn not_supported(what: impl fmt::Display) -> Box<Self> {
        Self::error(Code::NotSupported, format!("not supported yet: {what}"))
    }
    /// Points at a place in the script. Keeps an earlier, more precise place.
    #[must_use]
    pub fn at(mut self: Box<Self>, span: Span) -> Box<Self> {
        if self.span.is_none() && !span.is_empty() {
            self.span = Some(span);
        }
        self
    }
    /// Words beside the underline.
    #[must_use]
    pub fn label(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.label = Some(text.into());
        self
    }
    /// Another place worth showing.
    #[must_use]
    pub fn related(mut self: Box<Self>, span: Span, text: impl Into<String>) -> Box<Self> {
        self.related.push(Label { span, text: text.into() });
        self
    }
    /// What to do.
    #[must_use]
    pub fn help(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.help.push(text.into());
        self
    }
    /// Marks a failure that came of this I/O error as one that may pass, if it may: a full disk and a lost
    /// connection may, missing rights and damaged data don't.
    #[must_use]
    pub fn caused_by(mut self: Box<Self>, error: &std::io::Error) -> Box<Self> {
        use std::io::ErrorKind as Kind;
        self.passing = !matches!(
            error.kind(),
            Kind::PermissionDenied
                | Kind::ReadOnlyFilesystem
                | Kind::AlreadyExists
                | Kind::NotADirectory
                | Kind::IsADirectory
                | Kind::InvalidData
                | Kind::InvalidInput
                | Kind::UnexpectedEof
                | Kind::BrokenPipe
                | Kind::Unsupported
        );
        self
    }
    /// Marks a failure as one after which nothing may be tried again.
    #[must_use]
    pub fn that_lasts(mut self: Box<Self>) -> Box<Self> {
        self.passing = false;
        self
    }
    /// Marks a failure as one that may pass by itself.
    #[must_use]
    pub fn that_may_pass(mut self: Box<Self>) -> Box<Self> {
        self.passing = true;
        self
    }
    /// Adds `did you mean 'x'?` if one of the candidates is close.
    #[must_use]
    pub fn did_you_mean<'a>(
        self: Box<Self>,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Box<Self> {
        match crate::closest(word, candidates) {
            Some(hit) => self.help(format!("did you mean '{hit}'?")),
            None => self,
        }
    }
}
