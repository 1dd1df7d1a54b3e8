//! Which of a method's encoders is kept: the student, or the teacher that follows it.

use crate::training::{VIT, losses, method, plan, resumes, train, try_plan};
use selfsame::backbone::Role;
use selfsame::catalogue::{Catalogue, METHODS};
use selfsame::encoder_folder::{CARD, EncoderConfig, EncoderFolder};
use selfsame::plan::Plan;
use selfsame::tensor::parameters::{self, Array, read_safetensors};
use selfsame::weights::WeightsOf;
use selfsame_config::Recipe;
use std::collections::BTreeMap;
use std::fs;

const TEACHER: &str = "train.keep=teacher";

/// Every method with a teacher, by the arguments that choose it, and where in a checkpoint its teacher's encoder is.
fn with_teachers() -> Vec<(Vec<&'static str>, &'static str)> {
    let vit = VIT.iter().copied();
    vec![
        (vec!["method=byol"], "teacher.network.encoder."),
        (["method=byol"].into_iter().chain(vit).collect(), "teacher.network.encoder."),
        (vec!["method=moco", "method.queue=16"], "teacher.network.encoder."),
        (vec!["method=moco", "method.version=v3"], "teacher.network.encoder."),
        (vec!["method=dino", "method.prototypes=12"], "teacher.network.branch.encoder."),
    ]
}

/// The last checkpoint of a run of 15 steps.
fn checkpoint(plan: &Plan) -> Vec<u8> {
    fs::read(plan.out.join("checkpoints/step-00000015/model.safetensors")).unwrap()
}

/// The encoder that a run has saved.
fn saved(plan: &Plan) -> BTreeMap<String, Array> {
    read_safetensors(&plan.out.join("encoder.safetensors")).unwrap()
}

/// Names and shapes.
fn form(arrays: &BTreeMap<String, Array>) -> Vec<(&String, &[usize])> {
    arrays.iter().map(|(name, array)| (name, &array.shape[..])).collect()
}

#[test]
fn the_kept_encoder_is_the_teachers_bit_for_bit_and_the_training_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for (index, (words, place)) in with_teachers().into_iter().enumerate() {
        let run = |name: &str, more: &[&str]| {
            let (plan, dataset) = plan(folder.path(), &format!("{name}-{index}"), &[&words[..], more].concat());
            train(&plan, &dataset);
            plan
        };
        let (student, teacher) = (run("student", &[]), run("teacher", &[TEACHER]));
        assert!(checkpoint(&student) == checkpoint(&teacher) && losses(&student) == losses(&teacher), "{words:?}");
        let of_teacher: BTreeMap<String, Array> = parameters::from_safetensors(&checkpoint(&teacher))
            .unwrap()
            .into_iter()
            .filter_map(|(name, array)| Some((name.strip_prefix(place)?.to_owned(), array)))
            .collect();
        assert!(saved(&teacher) == parameters::to_pytorch_layout(of_teacher.clone()), "{words:?}");
        assert!(saved(&student) != saved(&teacher), "{words:?}");
        assert_eq!(form(&saved(&student)), form(&saved(&teacher)));
        // What is judged, diagnosed and embedded is what was saved.
        let branch = |weights| (method(&teacher).branch)(&teacher, weights, &mut |_| {}).unwrap();
        assert!(parameters::arrays(&branch(WeightsOf::Trained).encoder) == of_teacher, "{words:?}");
        let fresh = |plan: &Plan| (method(plan).branch)(plan, WeightsOf::Fresh, &mut |_| {}).unwrap().encoder;
        assert!(parameters::arrays(&fresh(&student)) == parameters::arrays(&fresh(&teacher)), "both start alike");
        // The folders are alike but for what says which was kept.
        let config = |plan: &Plan| EncoderFolder::open(&plan.out).unwrap().config().clone();
        let (of_student, of_teacher) = (config(&student), config(&teacher));
        assert_eq!((of_student.kept, of_teacher.kept), (Role::Student, Role::Teacher));
        let kept = of_teacher.kept;
        let (weights, plan, recipe) = (of_teacher.weights.clone(), of_teacher.plan.clone(), of_teacher.recipe.clone());
        assert_eq!(EncoderConfig { kept, weights, plan, recipe, ..of_student }, of_teacher);
        let card = |plan: &Plan, said: &str| {
            let copy = folder.path().join(format!("copy-{index}-{said}"));
            EncoderFolder::open(&plan.out).unwrap().save(&copy, Vec::new()).unwrap();
            assert!(fs::read_to_string(copy.join(CARD)).unwrap().contains(said), "{words:?}");
        };
        card(&student, "| weights | as trained |");
        card(&teacher, "| weights | from the teacher,");
        assert!(teacher.to_toml().contains("keep = \"teacher\""));
    }
}

#[test]
fn a_run_that_keeps_its_teacher_resumes_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (index, (words, _)) in with_teachers().into_iter().enumerate() {
        let chunk = ["chunk_size=8", "chunk_size=3"][index % 2];
        resumes(folder.path(), &format!("kept-{index}"), &[&words[..], &[TEACHER, chunk]].concat());
    }
}

#[test]
fn a_training_goes_on_from_a_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["method=byol", TEACHER]);
    train(&source, &dataset);
    let init = format!("init={}", source.out.display());
    // Both encoders start there; at a learning rate of nothing neither goes away. Running statistics do.
    for (name, keep) in [("a", "train.keep=student"), ("b", TEACHER)] {
        let still = ["method=byol", "epochs=1", "optimizer.base_lr=1e-30", "optimizer.weight_decay=0", "optimizer=sgd"];
        let (run, dataset) = plan(folder.path(), name, &[&still[..], &[&init, keep]].concat());
        train(&run, &dataset);
        let weights = |plan: &Plan| {
            let mut arrays = saved(plan);
            arrays.retain(|name, _| !name.contains("running"));
            arrays
        };
        assert!(weights(&run) == weights(&source), "{keep}");
    }
    // Without its method, what the start was trained by is gone on with, its teacher kept.
    let on = [init.clone(), format!("out={}", folder.path().join("on").display())];
    assert_eq!(Catalogue::default().plan_fitted(&on).unwrap().plan.train.keep, Role::Teacher);
}

#[test]
fn the_best_checkpoint_and_the_gauge_are_of_the_kept_encoder() {
    let folder = tempfile::tempdir().unwrap();
    let told = |name: &str, keep: &str| {
        let more = ["method=byol", "train.keep_best=effective_rank", keep];
        let (plan, dataset) = plan(folder.path(), name, &more);
        train(&plan, &dataset);
        let lines = fs::read_to_string(plan.out.join("metrics.jsonl")).unwrap();
        let step = lines.lines().find(|line| line.contains("\"event\":\"step\"")).unwrap();
        let step: serde_json::Value = serde_json::from_str(step).unwrap();
        let manifest = fs::read_to_string(plan.out.join("checkpoints/step-00000015/manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        (step["embedding_std"].as_f64().unwrap(), manifest["judged"]["value"].as_f64().unwrap())
    };
    let (student, teacher) = (told("student", "train.keep=student"), told("teacher", TEACHER));
    assert!(student.0 != teacher.0 && student.1 != teacher.1, "{student:?} {teacher:?}");
}

#[test]
fn a_teacher_is_refused_of_a_method_that_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let with_teacher: Vec<&str> =
        METHODS.iter().filter(|m| m.encoders.contains(&Role::Teacher)).map(|m| m.name).collect();
    assert_eq!(with_teacher, ["moco", "byol", "dino"]);
    let error = try_plan(folder.path(), "refused", &[TEACHER]).err().unwrap().to_string();
    let expected =
        "train.keep: method.name = \"simclr\" has no teacher, `moco`, `byol` or `dino` has; train.keep=student works";
    assert_eq!(error, format!("{expected} (from arguments)"));
    let recipe = Recipe { name: "mine".into(), text: "[train]\nkeep = \"teacher\"\n".into() };
    let words = [format!("data={}", folder.path().join("images.npy").display())];
    let error = Catalogue::default().plan(Some(&recipe), &words).err().unwrap().to_string();
    assert!(error.starts_with(expected) && error.contains("mine") && error.contains('2'), "{error}");
    let error = try_plan(folder.path(), "refused", &["train.keep=both"]).err().unwrap().to_string();
    assert!(error.contains("train.keep") && error.contains("`student` or `teacher`"), "{error}");
}
