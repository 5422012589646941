// Command dist makes the packages of a release: `make dist`.
//
//	go run ./scripts/dist --out bin/dist --version v1.2.3 --epoch 1790000000
//
// For each system it makes a static binary and an archive of it with the documentation, for Linux a
// Debian package and an OCI image as well, a bill of materials (CycloneDX) for each binary, and the
// checksums of all of them. It needs the Go toolchain and the modules of go.mod, and no other program
// and no service: archives, packages and images are written here.
//
// # Reproducible
//
// Clones of one commit give the same bytes on every machine: files are in order, owners and modes are
// written and not read, every time is --epoch, the time of the commit, and the binaries are built
// with -trimpath.
package main
