//! The one way in which a file takes the place of another: the other one stays, under a name of its own.

use rustix::{
    fs::{AtFlags, RenameFlags},
    io::Errno,
};

use super::{Folder, JailError};

impl Folder {
    /// Puts the file `temporary` of this folder in the place of the file `name`, in one step where the file system can.
    /// What was there stays in this folder as `aside`, `aside (1)` and so on: the first name that is free, which is
    /// returned. Whenever this is cut off, each of the two files has a name.
    ///
    /// # Errors
    /// When a name is none, there is no regular file `name`, or the file system refuses. Then `name` is what it was, or,
    /// where the file system knows neither links nor exchanges, lies under its new name.
    pub fn replace(&self, temporary: &str, name: &str, aside: &str) -> Result<String, JailError> {
        self.place(temporary)?;
        let path = self.place(name)?;
        let Some(before) = self.stamp(name)? else { return Err(JailError::Missing { path }) };
        let linked = self.first_free(aside, |aside| {
            rustix::fs::linkat(self.fd(), name, self.fd(), aside, AtFlags::empty())
                .map_err(|errno| JailError::of("keep", &self.path.join(aside), errno))
        });
        let Ok(kept) = linked else {
            let kept = self.publish_numbered(name, self, aside)?;
            self.publish(temporary, self, name)?;
            return Ok(kept);
        };
        match rustix::fs::renameat_with(self.fd(), temporary, self.fd(), name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                self.remove(name)?;
                self.publish(temporary, self, name)?;
                return Ok(kept);
            }
            Err(errno) => {
                self.remove(&kept)?;
                return Err(JailError::of("replace", &path, errno));
            }
        }
        // Somebody may have put another file there meanwhile.
        if self.stamp(temporary)?.is_some_and(|found| found.inode == before.inode) {
            self.remove(temporary)?;
        } else {
            self.publish_numbered(temporary, self, aside)?;
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::super::Jail;

    struct Place {
        folder: tempfile::TempDir,
        jail: Jail,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let jail = Jail::open(folder.path()).unwrap();
            Self { folder, jail }
        }

        fn write(&self, name: &str) {
            fs::write(self.folder.path().join(name), name).unwrap();
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.folder.path().join(name)).unwrap()
        }
    }

    #[test]
    fn what_makes_room_keeps_its_inode_under_another_name() {
        let place = Place::new();
        place.write("film");
        place.write("new");
        let inode = fs::metadata(place.folder.path().join("film")).unwrap().ino();
        assert_eq!(place.jail.root().replace("new", "film", "film.bad").unwrap(), "film.bad");
        assert_eq!((place.read("film"), place.read("film.bad")), ("new".to_owned(), "film".to_owned()));
        assert_eq!(fs::metadata(place.folder.path().join("film.bad")).unwrap().ino(), inode);
        assert_eq!(place.jail.root().names().unwrap().len(), 2, "the temporary name is gone");
    }

    #[test]
    fn what_lies_aside_already_stays() {
        let place = Place::new();
        for name in ["film", "new", "film.bad"] {
            place.write(name);
        }
        assert_eq!(place.jail.root().replace("new", "film", "film.bad").unwrap(), "film (1).bad");
        assert_eq!((place.read("film.bad"), place.read("film (1).bad")), ("film.bad".to_owned(), "film".to_owned()));
    }

    #[test]
    fn without_either_of_the_two_nothing_changes() {
        let place = Place::new();
        place.write("film");
        assert!(place.jail.root().replace("absent", "film", "film.bad").is_err());
        assert!(place.jail.root().replace("film", "absent", "film.bad").is_err());
        assert_eq!(place.jail.root().names().unwrap(), ["film"]);
        assert_eq!(place.read("film"), "film");
    }
}
