package scratch

import (
	"os"
	"sync"
	"testing"
)

// Folders are made while others clear those of dead processes: each is there once it is made.
func TestFoldersAreMadeWhileOthersClear(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	var making sync.WaitGroup
	for range 4 {
		making.Go(func() {
			for range 300 {
				dir, lock, err := makeFolder(parent)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(dir+"/log", nil, 0o600); err != nil {
					t.Error(err)
				}
				os.RemoveAll(dir)
				lock.Close()
			}
		})
	}
	making.Wait()
}
