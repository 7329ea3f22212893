//! Changing what is shared already.

use std::sync::Arc;

use shared::wire::tracker::{FileEntry, FolderEntry, Item};

use super::{Out, not_yours};
use crate::engine::{
    api::{Edit, Failure, FailureKind, Update},
    core::Core,
    library::Change,
    link, transfers,
};

pub(super) async fn edit(core: &Arc<Core>, edit: Edit, out: &Out) -> Result<(), Failure> {
    core.session.online().await?;
    let change = Change { audience: edit.audience, note: edit.note };
    let me = core.my_id();
    let mut items = Vec::new();
    for item in &edit.items {
        items.push(transfers::resolve(core, link::parse_item(item)?).await?);
    }
    let owner = |item: &Item| match item {
        Item::File(file) => file.owner,
        Item::Folder(folder) => folder.owner,
    };
    if items.iter().any(|item| Some(owner(item)) != me) {
        return Err(not_yours());
    }
    if let (Some(name), [item]) = (&edit.name, &items[..]) {
        let renamed = core.library.rename(core, item, name).await?;
        if change == Change::default() {
            for file in renamed {
                out.send(Update::File(core.file_row(&file))).await?;
            }
            return Ok(());
        }
        items = vec![renamed_item(item, name)];
    } else if edit.name.is_some() {
        return Err(Failure::new(
            FailureKind::Usage,
            "usage",
            "one name is for one file or folder",
            "name them one by one",
        ));
    }
    for item in &items {
        let files = match item {
            Item::File(file) => core.library.edit_file(core, file, &change).await?,
            Item::Folder(folder) => core.library.edit_folder(core, folder, &change).await?,
        };
        for file in files {
            out.send(Update::File(core.file_row(&file))).await?;
        }
    }
    Ok(())
}

/// The same under its new name.
fn renamed_item(item: &Item, name: &str) -> Item {
    match item {
        Item::File(file) => Item::File(FileEntry { path: name.to_owned(), ..file.clone() }),
        Item::Folder(folder) => Item::Folder(FolderEntry { path: name.to_owned(), ..folder.clone() }),
    }
}
