//! Changing what is shared already.

use std::sync::Arc;

use shared::wire::tracker::Item;

use super::{Out, not_yours};
use crate::engine::{
    api::{Edit, Failure, Update},
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
