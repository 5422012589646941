// Package segment owns the bytes of one journal file: the layout, a Writer that appends batches of
// frames and makes them durable, and a Reader that takes nothing on trust. The meaning of frames,
// the order of files and the handling of errors are package journal's.
//
// A Writer belongs to one goroutine. A Reader belongs to one goroutine and may read a file that a
// Writer is appending to, in this process or another.
package segment
