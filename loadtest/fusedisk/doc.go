// Package fusedisk is a disk that can be slow, lie and lose power: a file of a FUSE file system in
// this process's memory (Disk), under a loop device, under ext4 (Machine). Reads and writes are
// as fast as memory; a flush takes as long as it is told to.
//
// A flush makes durable what was written before it began, and nothing that came later. Several
// can run at once, as far as the Disk is concerned; but Linux sends a file's flushes one by one
// and holds its writes back meanwhile (fuse_fsync takes the inode's lock), and its block layer
// lets those that wait share one. So it is a device that does one thing at a time.
//
// It needs Linux, root, /dev/fuse, losetup and mkfs.ext4; Available says whether they are there.
// Everything may be used from several goroutines, but Boot and Down of one Machine.
package fusedisk
