//! Projects, as the API has them.

mod create;
mod get;
mod list;

use custody_api_types::project::Project;
use custody_control::Hold;
use custody_store::ProjectRow;

pub(crate) use create::create;
pub(crate) use get::get;
pub(crate) use list::list;

use crate::retention;

fn shown(row: ProjectRow) -> Project {
    let ProjectRow { name, description, created_at, active_policy, hold } = row;
    let held = hold.map(Hold::Project).map(retention::held);
    Project { name, description, created_at, active_policy, held }
}
