package replay

import (
	"context"
	"fmt"
	"time"

	"holdfast/journal"
	"holdfast/journal/vfs"
)

// Backup is an RDB file that a restore continues from as from a base.
type Backup struct {
	Base journal.Base
	Note string // why its bytes are unproven; empty: proven
}

// FromBackup makes a view with a backup in the place of its bases. The file is read to its end
// first. A damaged file, one without its place, and one that the journal cannot continue are
// refused (ErrBackup). disk nil is the real one.
func FromBackup(ctx context.Context, view *journal.View, disk vfs.FS, path string) (
	*journal.View, *Backup, error,
) {
	disk = vfs.OrOS(disk)
	refuse := func(format string, args ...any) (*journal.View, *Backup, error) {
		return nil, nil, fmt.Errorf("%w: %s: %s", ErrBackup, path, fmt.Sprintf(format, args...))
	}
	if _, err := disk.List(path); err == nil {
		return refuse("it is a folder; only an RDB file can be continued, and a server starts from an " +
			"append-only folder by itself")
	}
	f, err := readRDB(ctx, disk, path)
	if err != nil {
		return nil, nil, err
	}
	condition, why := f.condition()
	if condition == Damaged {
		return refuse("%s", why)
	}
	h := f.Header
	if !h.Placed() {
		return refuse("it does not say where it stands in a history")
	}
	tl, ok := holder(view, h.ReplID, h.Offset)
	if !ok {
		if tl, ok = beyond(view, h.ReplID, h.Offset); ok {
			return refuse("it is at offset %d, and the journal's timeline %d ends before that, at %d: "+
				"a server that starts from it has more", h.Offset, tl.ID, tl.End)
		}
		return refuse("the journal does not hold offset %d of history %s", h.Offset, h.ReplID)
	}
	// ctime is in whole seconds and of the moment of the fork: all of its data had arrived by the
	// next.
	b := journal.Base{Timeline: tl.ID, Offset: h.Offset, DB: max(0, h.StreamDB),
		Time: h.Created.Add(time.Second), File: path, Size: f.Size, CRC: f.crc}
	return view.From(b), &Backup{Base: b, Note: why}, nil
}
