//! Verdicts on pairs of shapes.

use super::*;
use crate::{Begins, StateTable, StateValue};

fn group(id: &str, keys: &str, calls: &[&str]) -> OperatorShape {
    let columns = calls.iter().map(|call| StateValue::beginning(*call)).collect();
    OperatorShape {
        id: id.into(),
        name: "group aggregate".into(),
        frame: vec![("keys".into(), keys.into()), ("input".into(), "source:t".into())],
        tables: Some(vec![StateTable::new("groups", 1, columns)]),
        ..OperatorShape::default()
    }
}

fn before(operators: &[OperatorShape]) -> Before {
    let shape = PlanShape {
        operators: operators.to_vec(),
        sources: vec!["t".into()],
        sinks: vec!["s".into()],
        ..PlanShape::default()
    };
    let held = |it: &OperatorShape| (it.id.clone(), Held { rows: 3, bytes: 100 });
    Before {
        shape: Some(shape),
        operators: operators.iter().map(held).collect(),
        sources: [(
            "t".to_string(),
            Read { place: Some("files in".into()), rows: Some(1234), ..Read::default() },
        )]
        .into(),
        sinks: [("s".to_string(), Written::default())].into(),
    }
}

fn after(operators: &[OperatorShape]) -> After {
    let mut after = After { shape: before(operators).shape.unwrap(), ..After::default() };
    after.sources.insert("t".into(), "files in".into());
    for it in operators {
        after.shape.reads.insert(it.id.clone(), vec!["t".into()]);
    }
    after
}

fn of_operators(upgrade: &Upgrade) -> Vec<(&str, Fate, String)> {
    let operators = upgrade.verdicts.iter().filter(|it| it.subject == Subject::Operator);
    operators.map(|it| (it.id.as_str(), it.verdict, it.reasons.join("; "))).collect()
}

#[test]
fn columns_are_found_again_by_what_they_mean() {
    let (old, new) = (group("g:1", "k", &["COUNT(*)", "SUM(a)"]), group("g:2", "k", &["MAX(b)", "COUNT(*)"]));
    let upgrade = Upgrade::plan(&before(&[old]), &after(&[new]));
    let reason = "MAX(b) begins with the rows from here on; forgets SUM(a)";
    assert_eq!(of_operators(&upgrade), [("g:2", Fate::Migrated, reason.to_string())]);
    let state = upgrade.state_of("g:2").unwrap();
    assert_eq!(state.id, "g:1");
    let columns = &state.tables.as_ref().unwrap()["groups"].columns;
    assert_eq!(*columns, [ColumnSource::Anew, ColumnSource::Saved(0)]);
    // SUM(a) is.
    assert_eq!(upgrade.lost(&[]).count(), 1);
}

#[test]
fn of_several_the_one_that_loses_least_is_taken_up() {
    let old = [group("g:1", "k", &["COUNT(*)"]), group("g:2", "k", &["SUM(a)"])];
    let new = [group("g:3", "k", &["SUM(a)", "MAX(b)"]), group("g:1", "k", &["COUNT(*)"])];
    let upgrade = Upgrade::plan(&before(&old), &after(&new));
    let was: Vec<_> = upgrade.renamed().collect();
    assert_eq!(was, [("g:2", "g:3")]);
}

#[test]
fn what_means_another_thing_is_dropped_and_needs_leave() {
    let upgrade = Upgrade::plan(&before(&[group("g:1", "k", &[])]), &after(&[group("g:2", "k, j", &[])]));
    let rebuilt = "from rows of 't' behind 1,234 rows on".to_string();
    let dropped = "3 rows of state are lost; keys: was 'k', is 'k, j'".to_string();
    assert_eq!(of_operators(&upgrade), [("g:2", Fate::Rebuilt, rebuilt), ("g:1", Fate::Dropped, dropped)]);
    for (allowed, lost) in [("g:2", 1), ("g:1", 0), ("g", 0), ("all", 0)] {
        assert_eq!(upgrade.lost(&[allowed.to_string()]).count(), lost, "{allowed}");
    }
}

#[test]
fn without_shapes_an_operator_goes_by_its_id() {
    let mut old = before(&[group("g:1", "k", &[]), group("g:2", "j", &[])]);
    old.shape = None;
    let upgrade = Upgrade::plan(&old, &after(&[group("g:1", "k", &[])]));
    let fates: Vec<_> = of_operators(&upgrade).into_iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(fates, [("g:1", Fate::Kept), ("g:2", Fate::Dropped)]);
}

#[test]
fn what_can_not_begin_in_the_middle_is_not_taken_up() {
    let mut new = group("g:2", "k", &["COUNT(*)"]);
    let column = &mut new.tables.as_mut().unwrap()[0].columns[0];
    (column.begins, column.means) = (Begins::Never, "SUM(a)".into());
    let upgrade = Upgrade::plan(&before(&[group("g:1", "k", &["COUNT(*)"])]), &after(&[new]));
    let reason = &of_operators(&upgrade)[1].2;
    assert!(reason.contains("SUM(a) now, which can't begin in the middle"), "{reason}");
}

#[test]
fn a_table_that_moved_or_is_gone_needs_leave() {
    let mut new = after(&[]);
    new.sources.insert("t".into(), "files elsewhere".into());
    let upgrade = Upgrade::plan(&before(&[]), &new);
    let lost: Vec<_> = upgrade.lost(&[]).map(|it| it.id.as_str()).collect();
    assert_eq!(lost, ["source:t"]);
    assert!(!upgrade.goes_on("t"));
    // Under another name, at the same place.
    let mut new = after(&[]);
    new.shape.sources = vec!["u".into()];
    new.sources = [("u".to_string(), "files in".to_string())].into();
    let upgrade = Upgrade::plan(&before(&[]), &new);
    let gone = upgrade.lost(&[]).next().unwrap();
    assert!(gone.reasons[1].contains("call it 't' to go on"), "{gone:?}");
}

#[test]
fn what_is_described_in_the_same_way_is_taken_as_it_is() {
    let twice = group("g:1", "k", &["SUM(p)", "SUM(p)", "MAX(p)"]);
    let upgrade = Upgrade::plan(&before(std::slice::from_ref(&twice)), &after(std::slice::from_ref(&twice)));
    assert!(upgrade.changes_nothing());
    assert_eq!(upgrade.state_of("g:1").unwrap().tables, None);
    // Of equal ones the first is the first, the second the second.
    let more = group("g:1", "k", &["COUNT(*)", "SUM(p)", "SUM(p)", "MAX(p)"]);
    let upgrade = Upgrade::plan(&before(&[twice]), &after(&[more]));
    let columns = &upgrade.state_of("g:1").unwrap().tables.as_ref().unwrap()["groups"].columns;
    assert_eq!(
        *columns,
        [ColumnSource::Anew, ColumnSource::Saved(0), ColumnSource::Saved(1), ColumnSource::Saved(2)]
    );
}

#[test]
fn an_operator_of_which_nothing_is_left_is_not_taken_up() {
    let upgrade = Upgrade::plan(
        &before(&[group("g:1", "k", &["COUNT(*)"])]),
        &after(&[group("g:2", "k", &["MAX(b)"])]),
    );
    let operators = of_operators(&upgrade);
    assert_eq!((operators[0].1, operators[1].1), (Fate::Rebuilt, Fate::Dropped));
    assert!(operators[1].2.contains("nothing of what it kept is kept now"), "{operators:?}");
    assert_eq!(upgrade.lost(&[]).count(), 1);
}

#[test]
fn a_limit_says_what_it_does_not_take_back() {
    let limit = |last: i64| OperatorShape {
        id: format!("limit:{last}"),
        numbers: [("last rank".to_string(), last)].into(),
        tables: Some(vec![StateTable::new("count", 0, vec![StateValue::kept("$count")])]),
        ..group("", "k", &[])
    };
    for (was, is, words) in
        [(5, 3, "rows that are out already stay"), (5, 7, "rows beyond 5 begin with those")]
    {
        let upgrade = Upgrade::plan(&before(&[limit(was)]), &after(&[limit(is)]));
        let said = &of_operators(&upgrade)[0].2;
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_aggregate_does_not_begin_over_values_that_were_seen() {
    let with_set = |calls: &[&str]| {
        let mut shape = group("g:1", "k", calls);
        let bits = StateValue { bits: vec!["all".into()], ..StateValue::kept("$filters") };
        let set = StateTable::new("distinct-0", 2, vec![bits]);
        shape.tables.as_mut().unwrap().push(StateTable {
            means: "values of a INT".into(),
            begins: true,
            ..set
        });
        shape
    };
    let count = "COUNT(DISTINCT a INT) BIGINT";
    let (old, new) = (with_set(&[count]), with_set(&[count, "SUM(DISTINCT a INT) INT"]));
    let upgrade = Upgrade::plan(&before(&[old]), &after(&[new]));
    let said = &of_operators(&upgrade)[1].2;
    assert!(said.contains("values that were seen before"), "{said}");
}
