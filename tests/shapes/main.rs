//! Real sessions on repositories of every shape. Of each: what the session wrote comes out or is named in the outcome; what it
//! did not change is not changed by `apply`; a line that it wrote names it, and one that it did not write does not.
//!
//! `make test` runs each shape with a session that does everything, every fourth one with `--dirty` too, and every fourth one
//! with a session that does nothing. With `CUSTODY_WHOLE_MATRIX` (`make matrix`) each act has a session of its own.

mod act;
mod catalogue;
mod check;
mod ground;

use custody_tests::Installation;

use act::Act;
use catalogue::{PLAIN, SHAPES, Shape, Start};
use ground::Ground;

/// In how many tests the shapes are run: two run at a time.
const PARTS: usize = 8;

/// What the sessions of the shape with this number do, and whether with `--dirty`.
fn plans(number: usize, shape: &Shape) -> Vec<(Vec<Act>, bool)> {
    let only_dirty = shape.start == Start::Dirty;
    if whole() {
        let dirty = [false, true].into_iter().filter(|dirty| *dirty || !only_dirty);
        return dirty.flat_map(|dirty| Act::ALL.map(|act| (vec![act], dirty))).collect();
    }
    let everything: Vec<_> = Act::ALL.into_iter().filter(|act| *act != Act::Nothing).collect();
    let mut plans = vec![(everything, only_dirty)];
    match number % 4 {
        0 => plans.push((vec![Act::Nothing], only_dirty)),
        2 if !only_dirty => plans.push((vec![Act::Commit, Act::OtherBranch], true)),
        _ => {}
    }
    plans
}

#[expect(clippy::disallowed_methods, reason = "`make matrix` asks for it in a variable")]
fn whole() -> bool {
    std::env::var_os("CUSTODY_WHOLE_MATRIX").is_some()
}

fn part(number: usize) {
    let (mut shapes, mut sessions, mut cells) = (0, 0, 0);
    let installation = Installation::new();
    for (index, shape) in SHAPES.iter().enumerate().skip(number).step_by(PARTS) {
        shapes += 1;
        for (acts, dirty) in plans(index / PARTS + index % PARTS, shape) {
            let ground = Ground::new();
            ground.sh(&format!("{PLAIN}\n{}", shape.script));
            let installation = &installation;
            let case = check::Case { shape, acts: &acts, dirty, ground: &ground, installation };
            cells += case.run();
            sessions += 1;
        }
    }
    println!("{shapes} shapes, {sessions} sessions, {cells} cells checked");
    assert!(shapes >= SHAPES.len() / PARTS && sessions >= shapes && cells >= sessions);
}

#[test]
fn the_catalogue_has_forty_shapes_of_different_names() {
    let mut names: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() >= 40 && names.len() == SHAPES.len(), "{}", names.len());
    println!("{} shapes", names.len());
}

macro_rules! parts {
    ($($name:ident $number:literal),* $(,)?) => {
        $(#[test]
        fn $name() {
            part($number);
        })*

        #[test]
        fn every_part_is_run() {
            assert_eq!([$($number),*], std::array::from_fn::<usize, PARTS, _>(|number| number));
        }
    };
}

parts! {
    nothing_is_lost_and_nothing_else_is_changed_in_part_0 0,
    nothing_is_lost_and_nothing_else_is_changed_in_part_1 1,
    nothing_is_lost_and_nothing_else_is_changed_in_part_2 2,
    nothing_is_lost_and_nothing_else_is_changed_in_part_3 3,
    nothing_is_lost_and_nothing_else_is_changed_in_part_4 4,
    nothing_is_lost_and_nothing_else_is_changed_in_part_5 5,
    nothing_is_lost_and_nothing_else_is_changed_in_part_6 6,
    nothing_is_lost_and_nothing_else_is_changed_in_part_7 7,
}
