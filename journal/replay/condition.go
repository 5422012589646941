package replay

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"holdfast/journal/rdb"
	"holdfast/journal/vfs"
)

// Condition is the soundness of a backup.
type Condition string

// The conditions. An unproven backup is never called sound.
const (
	Sound     Condition = "ok"          // read to its end, and proven by a checksum or by the journal
	Damaged   Condition = "damaged"     // cut, changed, incomplete, or no backup at all
	Unchecked Condition = "not checked" // whole as far as visible; its bytes are unproven
)

// castagnoli is the checksum that journals keep for their bases.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rdbFile is an RDB file, read to its end.
type rdbFile struct {
	*rdb.Report
	crc uint32 // CRC32C
	err error  // rdb.ErrFormat, rdb.ErrDamaged; nil: no fault
}

// readRDB reads a whole file. The error is one of the disk or of the context.
func readRDB(ctx context.Context, fs vfs.FS, path string) (*rdbFile, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	sum := crc32.New(castagnoli)
	rep, err := rdb.Check(io.TeeReader(&reading{ctx, io.NewSectionReader(f, 0, size)}, sum))
	out := &rdbFile{Report: rep, crc: sum.Sum32()}
	if errors.Is(err, rdb.ErrFormat) || errors.Is(err, rdb.ErrDamaged) {
		out.err, err = err, nil
	}
	return out, err
}

// condition rates the file, and says why it is not sound.
func (f *rdbFile) condition() (Condition, string) {
	switch {
	case f.err != nil:
		return Damaged, f.err.Error()
	case f.Proven():
		return Sound, ""
	case f.Unknown != nil:
		return Unchecked, fmt.Sprintf("it carries no checksum (rdbchecksum no), and its structure was "+
			"not followed: %v", f.Unknown)
	}
	return Unchecked, "its structure is whole, but it carries no checksum (rdbchecksum no)"
}
