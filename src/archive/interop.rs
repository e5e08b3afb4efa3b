//! Tests against GNU tar: what it writes is read, and what is written it unpacks, to the same tree.
