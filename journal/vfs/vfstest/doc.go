// Package vfstest has the file systems of tests: Mem lives in memory and can be cloned as a power cut
// would leave it, and WithFaults stands before any file system and fails chosen operations. Tests of
// durability use both: a killed process proves little, since the page cache survives it, while a
// crash clone keeps only synced state.
//
// Only tests import it; proxy/imports_test.go holds the rest to that. A file system may be used from
// several goroutines.
package vfstest
