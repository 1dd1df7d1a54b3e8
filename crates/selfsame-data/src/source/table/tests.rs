use super::*;
use crate::dataset::Dataset;
use crate::image::Size;

pub fn request(text: &str, more: impl Fn(&mut DataRequest)) -> (tempfile::TempDir, DataRequest) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let mut request = DataRequest::new(&path);
    more(&mut request);
    (folder, request)
}

pub fn opened(text: &str, more: impl Fn(&mut DataRequest)) -> Dataset {
    let (_folder, request) = request(text, more);
    Dataset::open(&request).unwrap()
}

pub fn refused(text: &str, more: impl Fn(&mut DataRequest)) -> String {
    let (_folder, request) = request(text, more);
    let error = Dataset::open(&request).err().expect(text).to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&request.path.display().to_string(), "a.csv")
}

pub fn rows(data: &Dataset) -> Vec<Vec<f32>> {
    let row = |index| match &data.sample(index).unwrap().pixels {
        Pixels::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    (0..data.len()).map(row).collect()
}

#[test]
fn columns_become_features_by_their_kind() {
    let text = "x,flag,color,class,same,gone\n1.5,yes,red,b,7,\n2,no,blue,a,7,NA\n,yes,red,b,7,\n4.5,no,blue,10,7,?\n";
    let data = opened(text, |_| {});
    assert_eq!((data.modality(), data.channels(), data.default_size()), (Modality::Vector, 5, Size::square(1)));
    let mean = (1.5f32 + 2.0 + 4.5) / 3.0;
    assert_eq!(
        rows(&data),
        [[1.5, 0.0, 1.0, 0.0, 1.0], [2.0, 0.0, 0.0, 1.0, 0.0], [mean, 1.0, 1.0, 0.0, 1.0], [4.5, 0.0, 0.0, 1.0, 0.0]]
    );
    assert_eq!(data.classes(), ["10", "a", "b"]);
    assert_eq!((0..4).map(|i| data.label(i).unwrap()).collect::<Vec<_>>(), [2, 1, 2, 0]);
    let notes = data.notes().join("\n");
    for said in [
        "`class` is taken for the labels",
        "same: the same value",
        "gone: no value",
        "x: values are missing",
        "color (2)",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
    assert_eq!(data.id(2), "a.csv[2]");
}

#[test]
fn columns_are_left_out_and_named_as_labels() {
    let text = "id,x,kind,twin\n1,5,10,u\n2,6,9,v\n3,8,10,u\n4,6,9,v\n";
    let data = opened(text, |request| request.label_column = "kind".into());
    assert_eq!((data.channels(), data.classes()), (4, &["9".to_owned(), "10".into()][..]));
    let notes = data.notes().join("\n");
    assert!(notes.contains("id: rises by one") && notes.contains("each value of twin belongs to one label"), "{notes}");
    let data = opened(text, |request| {
        request.label_column = "kind".into();
        request.drop = vec!["id".into(), "twin".into()];
    });
    assert_eq!(rows(&data), [[5.0], [6.0], [8.0], [6.0]]);
    assert!(data.notes().is_empty(), "{:?}", data.notes());
    // What holds the labels is no feature, whether they are asked for or not.
    let data = opened(text, |request| {
        request.label_column = "kind".into();
        request.labels = Some("none".into());
    });
    assert_eq!((data.channels(), data.classes().len()), (4, 0));
}

#[test]
fn a_category_has_a_value_for_what_is_missing_and_any_column_may_be_one() {
    let text = "zip,word,x\n100,a,1\n200,b,2\n100,c,3\n200,,5\n";
    let as_categories = |request: &mut DataRequest| request.categories = vec!["zip".into(), "word".into()];
    let data = opened(text, as_categories);
    assert_eq!(
        rows(&data),
        [
            [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 2.0],
            [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 3.0],
            [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 5.0]
        ]
    );
    assert!(data.notes()[0].ends_with("zip (2), word (3, or missing)"), "{:?}", data.notes());
    assert!(
        refused(text, |_| {})
            .ends_with("data.drop = [\"word\"] leaves it out, data.categories = [\"word\"] makes it one")
    );
    let unknown = refused(text, |request| request.categories = vec!["plz".into()]);
    assert_eq!(unknown, "data.categories: a.csv has no column `plz`; its columns are zip, word, x");
}

#[test]
fn known_columns_are_read_from_one_row_and_a_word_among_numbers_is_refused() {
    let known = |request: &mut DataRequest| request.columns = vec!["x\t".into(), "c\ta\tb".into()];
    let data = opened("c,x,label\nb,2,l\n", known);
    assert_eq!((rows(&data), data.label(0)), (vec![vec![2.0, 0.0, 0.0, 1.0]], Some(0)));
    assert!(refused("c,x\na,1\nb,two\na,3\n", known).contains("line 3, column `x`: \"two\" is no number"));
    assert!(refused("c,x\na,\nb,\n", known).contains("column `x` has no value in any row, expected numbers"));
}

#[test]
fn bad_tables_are_refused_with_the_place_and_the_way_out() {
    let plain = |text: &str| refused(text, |_| {});
    assert_eq!(plain("x,y\n1,2\n3\n5,6\n"), "a.csv: line 3 has 1 values, the first line names 2 columns");
    assert!(plain("x,z\n1,2\n").contains("one row alone"));
    assert!(plain("x,z\n").contains("no row"));
    assert!(plain("1,2\n3,4\n5,6\n").contains("its first line must name the columns, and holds 1, 2"));
    assert!(plain("x,x\n3,4\n5,6\n").contains("two columns are called `x`"));
    assert!(plain("\"x\ty\",z\n3,4\n5,6\n").contains("the name \"x\\ty\" of a column holds a tab"));
    assert!(plain("x,z\n1,\"a\tb\"\n2,c\n3,c\n4,c\n").contains("column `z`: \"a\\tb\" holds a tab"));
    assert!(plain("x,z\n1,2\n3,inf\n").starts_with("a.csv: line 3, column `z`: inf is not finite"));
    assert!(plain("x,z\n1,2\n3,1e300\n").contains("1e300"));
    let text: String = (0..8).map(|i| format!("{i},word {i}\n")).collect();
    let said = plain(&format!("x,name\n{text}"));
    assert!(said.contains("column `name` holds text, 8 different values in 8 rows such as \"word 0\""), "{said}");
    assert!(said.contains("data.drop = [\"name\"] leaves it out"), "{said}");
    assert!(plain("x,z\n1,2\n3,oops\n1,5\n").contains("line 3, column `z`: \"oops\" is no number"));
    assert!(plain("x,z\n1,2\n1,2\n").contains("no column is left"));
    assert!(plain("x,label\n1,a\n2,\n").contains("line 3 has no label in column `label`"));
    let named = |label: &str| refused("x,z\n1,2\n3,4\n", |request| request.label_column = label.into());
    assert_eq!(named("kind"), "data.label_column: a.csv has no column `kind`; its columns are x, z");
    assert!(
        refused("x,z\n1,2\n3,4\n", |request| request.drop = vec!["w".into()]).starts_with("data.drop: a.csv has no")
    );
    let asked = |labels: &str| refused("x,z\n1,2\n3,4\n", |request| request.labels = Some(labels.into()));
    assert!(asked("file").contains("has no labels: a column named label") && asked("folder").contains("no folder"));
    let channels = refused("x,z,w\n1,2,5\n3,4,6\n", |request| request.channels = Some(1));
    assert!(channels.starts_with("data.channels: the data have 3 features, 1 are asked for"), "{channels}");
}

#[test]
fn each_column_is_standardized_on_its_own_scale() {
    let text = "x,z\n1e-9,1e6\n3e-9,3e6\n";
    let data = opened(text, |_| {});
    let facts = data.facts(&toml::Table::new()).unwrap();
    let list =
        |key: &str| -> Vec<f64> { facts[key].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect() };
    assert_eq!(facts["modality"].as_str(), Some("vector"));
    assert_eq!(list("range"), [0.0, 1.0]);
    for (found, expected) in [(list("mean"), [2e-9, 2e6]), (list("std"), [1e-9, 1e6])] {
        assert!(found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-5), "{found:?}");
    }
}
