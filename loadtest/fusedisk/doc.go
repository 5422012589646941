// Package fusedisk is a disk that can be slow, lie and lose power: a file of a FUSE file system in
// this process's memory (Disk), under a loop device, under ext4 (Machine). Reads and writes are as
// fast as memory; a flush takes its configured time.
//
// A flush makes durable the writes before its start, and none after it. The Disk can run several at
// once; but Linux sends a file's flushes one by one and holds its writes back meanwhile (fuse_fsync
// takes the inode's lock), and its block layer lets waiting flushes share one. So it is a device
// that does one thing at a time.
//
// It needs Linux, root, /dev/fuse, losetup and mkfs.ext4; Available reports whether they are there.
// Everything is safe for several goroutines, except Boot and Down of one Machine.
package fusedisk
