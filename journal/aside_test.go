package journal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/journal/vfs"
	"holdfast/journal/vfs/vfstest"
)

// TestMoveAside moves a folder, or the contents of a mount point, so that the other place
// has everything and a new journal can begin here.
func TestMoveAside(t *testing.T) {
	for _, mounted := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "j")
		o := Options{Dir: dir}
		j := open(t, o)
		tl := start(t, j, "a", 0)
		addBase(t, j, tl.ID, 0, time.Now())
		add(t, j, tl.ID, 0, 5000)
		if _, err := MoveAside(nil, dir, time.Now()); !errors.Is(err, ErrLocked) {
			t.Errorf("while it is open: %v", err)
		}
		closeJournal(t, j)
		disk := vfstest.WithFaults(vfs.OS{}, func(op vfstest.Op) error {
			if mounted && op.Kind == vfstest.OpRename && strings.HasPrefix(op.Path, dir+".") {
				return syscall.EBUSY
			}
			return nil
		})
		to, err := MoveAside(disk, dir, time.Now())
		check(t, err)
		if inside := strings.HasPrefix(to, dir+"/"); inside != mounted {
			t.Errorf("moved to %s", to)
		}
		v, err := OpenView(nil, to)
		check(t, err)
		wantContent(t, v, 1, 0, 5000)
		wantSound(t, v)
		j = open(t, o)
		if cur, ok := j.Current(); ok {
			t.Errorf("the new journal has %+v", cur)
		}
		closeJournal(t, j)
		if _, err := os.Stat(to); err != nil {
			t.Error(err)
		}
	}
}
