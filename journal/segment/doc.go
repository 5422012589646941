// Package segment owns the bytes of one journal file: the layout, a Writer that appends batches of
// frames and makes them durable, and a Reader that takes nothing on trust. It does not know what
// the frames mean, which file comes next, or what to do about an error: package journal does.
//
// A Writer belongs to one goroutine. A Reader belongs to one goroutine and may read a file that a
// Writer is appending to, in this process or another.
package segment
