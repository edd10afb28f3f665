//! What sources are called, and what operators take from whom.

use super::*;
use crate::PlanShape;

fn sources(script: &str) -> Vec<String> {
    let mut names = PlanShape::of(&planned(script)).sources;
    names.sort();
    names
}

#[test]
fn rows_of_a_script_are_called_by_what_they_are() {
    let (one, two) = ("SELECT * FROM (VALUES (1), (2)) AS v(a)", "SELECT * FROM (VALUES (3)) AS v(a)");
    assert_eq!(sources(one), ["VALUES"]);
    let both = sources(&format!("{one} UNION ALL {two}"));
    assert!(both.len() == 2 && both.iter().all(|name| name.starts_with("VALUES#")), "{both:?}");
    assert_eq!(both, sources(&format!("{two} UNION ALL {one}")));
    // What is computed from other rows is another thing.
    let frame = |rows: &str| {
        let counts = format!("SELECT a, COUNT(*) FROM (VALUES {rows}) AS v(a) GROUP BY a");
        PlanShape::of(&planned(&counts)).operators[0].frame.clone()
    };
    assert_eq!(frame("(1), (2)"), frame("(1), (2)"));
    assert_ne!(frame("(1), (2)"), frame("(1), (3)"));
}

#[test]
fn a_rank_that_is_told_is_another_frame() {
    let frame = |columns: &str| {
        let ranked = "SELECT auction, price, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC) AS n FROM bid";
        let plan = planned(&format!("SELECT {columns} FROM ({ranked}) WHERE n <= 3"));
        PlanShape::of(&plan).operators[0].frame.clone()
    };
    assert_ne!(frame("auction, price"), frame("auction, price, n"));
}
