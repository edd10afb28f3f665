//! Diagnostics for people: what, where with the SQL underlined, what to do.

use std::{io::IsTerminal, process::ExitCode};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use flott_sql::Source;
use flott_types::{Category, Diagnostic, Severity, Span};

use crate::console;

/// Prints diagnostics to standard error; the exit code that they mean.
pub fn show(diagnostics: &[Box<Diagnostic>], source: Option<&Source>) -> ExitCode {
    for diagnostic in diagnostics {
        console::err(format_args!("{}\n\n", render(diagnostic, source, std::io::stderr().is_terminal())));
    }
    exit_code(diagnostics)
}

/// 2 if all errors could be seen before running, else 1; 0 without errors.
pub fn exit_code(diagnostics: &[Box<Diagnostic>]) -> ExitCode {
    let mut errors = diagnostics.iter().filter(|it| it.severity == Severity::Error).peekable();
    if errors.peek().is_none() {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(if errors.all(|it| it.code.category() == Category::Usage) { 2 } else { 1 })
}

/// One diagnostic as text.
pub fn render(diagnostic: &Diagnostic, source: Option<&Source>, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // Secrets are masked by stars of the same length, so that spans stay right.
    let text = source.map(Source::masked_text).unwrap_or_default();
    let mask = |text: &str| source.map_or_else(|| text.to_string(), |source| source.mask(text));
    let mut group =
        Group::with_title(level.primary_title(mask(&diagnostic.message)).id(diagnostic.code.id()));
    if let (Some(source), Some(span)) = (source, diagnostic.span) {
        let range = clip(span, &text);
        let mut primary = AnnotationKind::Primary.span(range);
        if let Some(label) = &diagnostic.label {
            primary = primary.label(mask(label));
        }
        let mut snippet = Snippet::source(&text).path(&source.name).annotation(primary);
        for label in &diagnostic.related {
            snippet = snippet
                .annotation(AnnotationKind::Context.span(clip(label.span, &text)).label(mask(&label.text)));
        }
        group = group.element(snippet);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(mask(help)));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.decor_style(DecorStyle::Ascii).render(&[group])
}

fn clip(span: Span, text: &str) -> std::ops::Range<usize> {
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    floor(span.start)..floor(span.end.max(span.start))
}
