use super::*;
use crate::dataset::Dataset;
use crate::settings::DataRequest;

const HEAD: &str = "# of a test\n% too\n@problemName T\n@timeStamps false\n@univariate false\n";

fn request(text: &str, more: impl Fn(&mut DataRequest)) -> (tempfile::TempDir, DataRequest) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ts");
    std::fs::write(&path, text).unwrap();
    let mut request = DataRequest::new(&path);
    more(&mut request);
    (folder, request)
}

fn opened(text: &str) -> Dataset {
    let (_folder, request) = request(text, |_| {});
    Dataset::open(&request).unwrap()
}

fn refused_with(text: &str, more: impl Fn(&mut DataRequest)) -> String {
    let (_folder, request) = request(text, more);
    let error = Dataset::open(&request).err().expect(text).to_string();
    assert!(!error.contains('\n'), "{error}");
    error.replace(&request.path.display().to_string(), "a.ts")
}

fn refused(text: &str) -> String {
    refused_with(text, |_| {})
}

fn values(data: &Dataset) -> Vec<Vec<f32>> {
    let values = |index| match &data.sample(index).unwrap().pixels {
        Pixels::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    };
    (0..data.len()).map(values).collect()
}

fn notes(data: &Dataset) -> String {
    data.notes().join("\n")
}

#[test]
fn series_of_several_channels_and_lengths_are_read_with_their_classes() {
    let data = opened(&format!("{HEAD}@classLabel true up down\n@data\n\n1,2,3:4,5,6:down\n 7, 8 : 9,-1e1 : up\n"));
    assert_eq!((data.modality(), data.channels(), data.len()), (Modality::Signal, 2, 2));
    assert_eq!(values(&data), [vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0], vec![7.0, 9.0, 8.0, -10.0]]);
    assert_eq!((data.classes(), data.label(0), data.label(1)), (&["up".into(), "down".into()][..], Some(1), Some(0)));
    assert_eq!((data.id(1), data.uniform_size()), ("a.ts[1]".into(), None));
    assert!(notes(&data).contains("samples have 2 to 3 steps"), "{}", notes(&data));
    let equal = opened("@univariate true\n@equalLength true\n@classLabel false\n@data\n1,2\n3,4\n");
    assert_eq!((equal.channels(), equal.classes().len()), (1, 0));
    assert_eq!(equal.uniform_size().map(|size| size.width), Some(2));
    assert!(equal.notes().is_empty());
}

#[test]
fn missing_values_are_filled_and_told_or_refused() {
    let text = "@data\n1,?,3\n?,5,?\n1,2,3\n";
    let data = opened(text);
    assert_eq!(values(&data), [vec![1.0, 2.0, 3.0], vec![5.0, 5.0], vec![1.0, 2.0, 3.0]]);
    assert!(notes(&data).contains("a.ts: 2 values are missing, in 2 of 3 samples: they lie on the line"));
    let error = refused_with(text, |request| request.missing = Missing::Refuse);
    assert_eq!(
        error,
        "a.ts: line 2 the value of step 1 in channel 0 is missing, 1 in all; data.missing = \"interpolate\" fills them"
    );
    assert_eq!(refused("@data\n1,2\n?,?\n"), "a.ts: line 3 holds no value");
    assert_eq!(refused("@data\n1,2:?,?\n"), "a.ts: line 2 holds no value in channel 1");
    assert!(refused("@data\n1,2\n1,1e99\n").starts_with("a.ts: line 3 holds a value that is infinite"));
}

#[test]
fn time_stamps_are_read_put_in_order_and_told() {
    let head = "@timeStamps true\n@classLabel true 1 2\n@data\n";
    let data = opened(&format!(
        "{head}(2007-01-01 00:00:00,1),(2007-01-01 00:01:00,2):1\n(3,30),(1,10),(2,20):2\n(0,1),(1,2),(5,3):1\n"
    ));
    assert_eq!(values(&data), [vec![1.0, 2.0], vec![10.0, 20.0, 30.0], vec![1.0, 2.0, 3.0]]);
    let told = notes(&data);
    assert!(
        told.contains(
            "time stamps of 1 samples are out of order, and their steps were put in order, the first on line 5"
        ),
        "{told}"
    );
    assert!(
        told.contains(
            "time stamps of 1 samples are not equally far from each other, which no encoder sees, the first on line 6"
        ),
        "{told}"
    );
    let bad = |line: &str| refused(&format!("{head}{line}\n"));
    assert_eq!(bad("(1,1),(1,2):1"), "a.ts: line 4: channel 0: the values number 0 and 1 have one time stamp");
    assert_eq!(bad("(1,1),2:1"), "a.ts: line 4: channel 0: expected (stamp,value), found \"2\"");
    assert!(bad("(noon,1):1").contains("\"noon\" is no time stamp"));
}

#[test]
fn what_is_wrong_is_told_by_line() {
    let of = |text: &str| refused(&format!("{HEAD}{text}"));
    assert_eq!(
        of("1,2\n@data\n"),
        "a.ts: line 6: expected a line that begins with @, until @data; this is no .ts file"
    );
    assert_eq!(of("@classLabel true a\n"), "a.ts: has no line @data, after which its series stand");
    assert_eq!(of("@data\n"), "a.ts: holds no series");
    assert_eq!(of("@equalLength maybe\n@data\n"), "a.ts: line 6: expected @equallength true or @equallength false");
    assert_eq!(of("@classLabel true\n@data\n1\n"), "a.ts: line 6: @classLabel true names no class");
    assert_eq!(of("@data\n1,x\n"), "a.ts: line 7: channel 0: \"x\" is no number; a value that is missing is ?");
    assert_eq!(
        of("@data\n1,,2\n"),
        "a.ts: line 7: channel 0: an empty value; expected a number, or ? where it is missing"
    );
    assert_eq!(of("@data\n1,2:3\n"), "a.ts: line 7: channel 1: has 1 steps, channel 0 has 2");
    assert_eq!(of("@data\n1:2\n1\n"), "a.ts: line 8: has 1 channels, line 7 has 2");
    assert_eq!(of("@dimensions 3\n@data\n1:2\n"), "a.ts: has 2 channels, and its header says 3");
    assert_eq!(
        of("@equalLength true\n@data\n1,2\n1\n"),
        "a.ts: line 9: has 1 steps, line 8 has 2, and @equalLength says that all have as many"
    );
    assert_eq!(of("@classLabel true a\n@data\n1,2\n"), "a.ts: line 8: has no label after its last colon");
    assert_eq!(
        of("@classLabel true a b\n@data\n1,2:c\n"),
        "a.ts: line 8: \"c\" is none of the classes that @classLabel lists; data.labels = \"none\" ignores them"
    );
}

#[test]
fn numbers_to_predict_and_unknown_lines_are_told() {
    let data = opened("@targetLabel true\n@colour blue\n@data\n1,2:0.5\n3,4:0.25\n");
    assert_eq!((values(&data)[1].clone(), data.label(0)), (vec![3.0, 4.0], None));
    let told = notes(&data);
    assert!(told.contains("the numbers of @targetLabel are no classes") && told.contains("@colour"), "{told}");
    let error = refused_with("@data\n1,2\n", |request| request.labels = Some("file".into()));
    assert!(error.starts_with("data.labels: a.ts has no labels: @classLabel"), "{error}");
    assert!(refused_with("@data\n1\n", |request| request.labels = Some("folder".into())).contains("is no folder"));
}
