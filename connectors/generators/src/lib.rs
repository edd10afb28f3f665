//! The datagen and nexmark connectors.
