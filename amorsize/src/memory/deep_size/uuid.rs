use uuid::Uuid;
use uuid::fmt::{Braced, Hyphenated, Simple, Urn};

use super::DeepSize;

owns_nothing!(Braced, Hyphenated, Simple, Urn, Uuid, uuid::Error);
