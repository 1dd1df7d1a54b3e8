use super::super::tests::{opened, refused, rows};
use super::*;

fn wide(request: &mut DataRequest) {
    request.modality = Some(Modality::Signal);
}

fn long(request: &mut DataRequest) {
    request.sample_column = "who".into();
    request.time_column = "t".into();
}

#[test]
fn a_row_of_a_wide_table_is_a_series() {
    let text = "id,0,1,2,class\n7,1,2,3,b\n8,4,,6,a\n9,7,8,,b\n";
    let data = opened(text, |request| {
        wide(request);
        request.drop = vec!["id".into()];
    });
    assert_eq!((data.modality(), data.channels()), (Modality::Signal, 1));
    assert_eq!(rows(&data), [vec![1.0, 2.0, 3.0], vec![4.0, 5.0, 6.0], vec![7.0, 8.0]]);
    assert_eq!((data.classes(), data.label(0)), (&["a".to_owned(), "b".to_owned()][..], Some(1)));
    let notes = data.notes().join("\n");
    assert!(notes.contains("`class` is taken") && notes.contains("1 values are missing, in 1 of 3 samples"), "{notes}");
    // Steps may be counted.
    assert_eq!(rows(&opened("0,1\n5,6\n7,8\n", wide)), [[5.0, 6.0], [7.0, 8.0]]);
    assert_eq!(refused("0.5,0.25\n5,6\n", wide), "a.csv: its first line must name the columns, and holds 0.5, 0.25");
    assert_eq!(
        refused("a,b\n1,2\n1,x\n", wide),
        "a.csv: line 3, column `b`: \"x\" is no number; leave it empty if it is missing, or data.drop = [\"b\"] leaves the column out"
    );
    assert_eq!(refused("a,b\n1,2\n,\n", wide), "a.csv: line 3 holds no value");
    assert_eq!(refused("label\nu\n", wide), "a.csv: has no column with values");
    let error = refused("a,b\n1,2\n,4\n", |request| {
        wide(request);
        request.missing = crate::signal::Missing::Refuse;
    });
    assert!(error.starts_with("a.csv: line 3 the value of step 0 in channel 0 is missing"), "{error}");
}

#[test]
fn rows_of_a_long_table_are_steps() {
    let text =
        "who,t,x,z,label\nann,1,1,10,u\nbob,2020-01-02,5,50,v\nann,2,2,20,u\nbob,2020-01-01,4,40,v\nann,4,3,,u\n";
    let data = opened(text, long);
    assert_eq!(rows(&data), [vec![1.0, 10.0, 2.0, 20.0, 3.0, 20.0], vec![4.0, 40.0, 5.0, 50.0]]);
    assert_eq!((data.id(1), data.label(1), data.channels()), ("a.csv[bob]".into(), Some(1), 2));
    let notes = data.notes().join("\n");
    for said in [
        "time stamps of 1 samples are out of order, and their steps were put in order, the first on line 5",
        "time stamps of 1 samples are not equally far from each other, which no encoder sees, the first on line 2",
        "1 values are missing, in 1 of 2 samples",
        "samples have 2 to 3 steps",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    let facts = data.facts(&toml::Table::new()).unwrap();
    let columns: Vec<&str> = facts["columns"].as_array().unwrap().iter().filter_map(toml::Value::as_str).collect();
    assert_eq!(columns, ["x", "z"]);
    // Another table has its channels in another order, and more of them.
    let other = "z,w,x,who,t\n1,2,3,a,1\n4,5,6,a,2\n";
    let known = |request: &mut DataRequest| {
        long(request);
        request.columns = vec!["x".into(), "z".into()];
    };
    assert_eq!(rows(&opened(other, known)), [[3.0, 1.0, 6.0, 4.0]]);
    assert!(refused("x,who,t\n1,a,1\n", known).starts_with("data.columns: a.csv has no column `z`"));
}

#[test]
fn what_is_wrong_in_a_long_table_is_told_by_line() {
    let of = |rows: &str| refused(&format!("who,t,x,label\n{rows}"), long);
    assert_eq!(of("a,1,1,u\nb,1,1,u\na,1,2,u\n"), "a.csv: line 4: sample `a` has the time stamp 1 already on line 2");
    assert_eq!(
        of("a,noon,1,u\n"),
        "a.csv: line 2, column `t`: \"noon\" is no time stamp; expected a number or a date such as 2007-01-31 23:59:00"
    );
    assert_eq!(of(",1,1,u\n"), "a.csv: line 2 names no sample in column `who`");
    assert_eq!(
        of("a,1,1,u\na,2,1,v\n"),
        "a.csv: line 3: sample `a` is of class v, and on line 2 of class u; data.labels = \"none\" ignores them"
    );
    assert_eq!(of("a,1,,u\na,2,,u\n"), "a.csv: sample `a` (line 2) holds no value");
    assert_eq!(of(""), "a.csv: has no row below the names of its columns");
    let error = refused("id,x\n1,2\n", long);
    assert_eq!(error, "data.sample_column: a.csv has no column `who`; its columns are id, x");
}
