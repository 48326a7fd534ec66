//! Who is who inside the sandbox: pids joined with exec notices.
//!
//! Pure: what the kernel told goes in, an image comes out.

use std::collections::HashMap;

use custody_model::{EventId, ImageId, ProcessRef};

/// One process image: one successful `execve`, shared by the processes forked from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its number.
    pub id: ImageId,
    /// The `process.executed` event that tells of it.
    pub event: EventId,
}

/// The processes of one session that are alive.
#[derive(Debug, Default)]
pub struct Processes {
    images: HashMap<u32, Image>,
    /// Living processes of each image.
    population: HashMap<ImageId, usize>,
    /// Threads that were met, and their processes.
    threads: HashMap<u32, u32>,
    next: u64,
}

impl Processes {
    /// The number that the next image gets.
    pub fn next_image(&mut self) -> ImageId {
        self.next += 1;
        ImageId(self.next)
    }

    /// `child` was forked by `parent`, and runs the same image.
    pub fn forked(&mut self, parent: u32, child: u32) {
        if let Some(image) = self.images.get(&parent).copied()
            && !self.images.contains_key(&child)
        {
            self.settle(child, image);
        }
    }

    /// `pid` runs a new image. Returns the image that has no process left by that.
    pub fn executed(&mut self, pid: u32, image: Image) -> Option<ImageId> {
        let gone = self.exited(pid).and_then(|(_, last)| last);
        self.settle(pid, image);
        gone
    }

    /// `thread` is one of `process`.
    pub fn thread(&mut self, thread: u32, process: u32) {
        self.threads.insert(thread, process);
    }

    /// The process that `pid` is or is a thread of; `None` if neither is known.
    #[must_use]
    pub fn process(&self, pid: u32) -> Option<u32> {
        let process = self.threads.get(&pid).copied().unwrap_or(pid);
        self.images.contains_key(&process).then_some(process)
    }

    /// `pid` ended. Returns what it ran, and again the image's number if no other process runs it.
    pub fn exited(&mut self, pid: u32) -> Option<(Image, Option<ImageId>)> {
        let image = self.images.remove(&pid)?;
        self.threads.retain(|_, process| *process != pid);
        let left = self.population.get_mut(&image.id).map_or(0, |n| {
            *n -= 1;
            *n
        });
        if left == 0 {
            self.population.remove(&image.id);
        }
        Some((image, (left == 0).then_some(image.id)))
    }

    /// What `pid` runs.
    #[must_use]
    pub fn image(&self, pid: u32) -> Option<Image> {
        self.images.get(&pid).copied()
    }

    /// `pid` as events name it.
    #[must_use]
    pub fn reference(&self, pid: u32) -> ProcessRef {
        ProcessRef { image: self.image(pid).map(|i| i.id), pid }
    }

    fn settle(&mut self, pid: u32, image: Image) {
        self.images.insert(pid, image);
        *self.population.entry(image.id).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use custody_model::Timestamp;

    use super::*;

    fn image(n: u64) -> Image {
        Image { id: ImageId(n), event: EventId::new(Timestamp::from_micros(0), [0; 10]) }
    }

    #[test]
    fn an_image_ends_with_its_last_process() {
        let mut processes = Processes::default();
        assert_eq!(processes.executed(10, image(1)), None);
        processes.forked(10, 11);
        assert_eq!(processes.reference(11), ProcessRef { image: Some(ImageId(1)), pid: 11 });
        assert_eq!(processes.exited(10), Some((image(1), None)));
        assert_eq!(processes.executed(11, image(2)), Some(ImageId(1)));
        assert_eq!(processes.exited(11), Some((image(2), Some(ImageId(2)))));
        assert_eq!(processes.exited(11), None);
    }

    #[test]
    fn an_unknown_parent_gives_no_image() {
        let mut processes = Processes::default();
        processes.forked(1, 2);
        assert_eq!(processes.reference(2), ProcessRef { image: None, pid: 2 });
    }

    #[test]
    fn a_fork_heard_of_late_does_not_undo_an_exec() {
        let mut processes = Processes::default();
        processes.executed(1, image(1));
        processes.executed(2, image(2));
        processes.forked(1, 2);
        assert_eq!(processes.image(2), Some(image(2)));
    }
}
