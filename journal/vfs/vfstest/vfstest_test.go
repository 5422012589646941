package vfstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"holdfast/journal/vfs"
)

// both runs a test on the machine's file system and on the one in memory: they must not differ.
func both(t *testing.T, test func(t *testing.T, fs vfs.FS, dir string)) {
	t.Run("OS", func(t *testing.T) { test(t, vfs.OS{}, t.TempDir()) })
	t.Run("Mem", func(t *testing.T) { test(t, NewMem(), "dir") })
	t.Run("WithFaults", func(t *testing.T) {
		test(t, WithFaults(NewMem(), func(Op) error { return nil }), "dir")
	})
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, disk vfs.FS, dir string) {
		check := checker(t)
		a := filepath.Join(dir, "a")
		check(disk.MkdirAll(dir))
		f, err := disk.Create(a)
		check(err)
		_, err = f.WriteAt([]byte("world"), 6)
		check(err)
		_, err = f.WriteAt([]byte("hello"), 0)
		check(err)
		f.Start(0, 11)
		f.Start(100, 11) // beyond the end
		check(f.Sync())
		wantBytes(t, f, "hello\x00world")
		check(f.Truncate(3))
		check(f.Truncate(5))
		wantBytes(t, f, "hel\x00\x00")
		check(f.Preallocate(8))
		check(f.Preallocate(2))
		wantBytes(t, f, "hel\x00\x00\x00\x00\x00")
		p := make([]byte, 10)
		if n, err := f.ReadAt(p, 4); n != 4 || !errors.Is(err, io.EOF) {
			t.Errorf("read over the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(p, 8); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read at the end: %d, %v", n, err)
		}
		check(f.Close())
		_, err = disk.Usage(dir)
		check(err)
	})
}

// checker gives a function that ends the test at an error.
func checker(t *testing.T) func(error) {
	return func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, disk vfs.FS, dir string) {
		check := checker(t)
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		f, err := disk.Create(a)
		check(err)
		_, err = f.WriteAt([]byte("hel\x00\x00\x00\x00\x00"), 0)
		check(err)
		check(disk.Rename(a, b))
		check(disk.SyncDir(dir))
		if _, err := disk.Open(a); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the old name: %v", err)
		}
		wantBytes(t, f, "hel\x00\x00\x00\x00\x00")
		r, err := disk.Open(b)
		check(err)
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			t.Error("a file that was opened for reading was written")
		}
		check(r.Close())
		w, err := disk.OpenReadWrite(b)
		check(err)
		_, err = w.WriteAt([]byte("J"), 0)
		check(err)
		check(w.Close())
		info, err := disk.Stat(b)
		check(err)
		if info.Size != 8 {
			t.Errorf("size %d", info.Size)
		}
		f2, err := disk.Create(filepath.Join(dir, "0"))
		check(err)
		check(f2.Close())
		names, err := disk.List(dir)
		check(err)
		if !reflect.DeepEqual(names, []string{"0", "b"}) {
			t.Errorf("names %q", names)
		}
		f3, err := disk.Create(b) // empties it
		check(err)
		wantBytes(t, f3, "")
		check(f3.Close())
		check(disk.Remove(b))
		for what, err := range map[string]error{
			"remove": disk.Remove(b),
			"rename": disk.Rename(b, a),
			"stat":   second(disk.Stat(b)),
			"open":   second(disk.OpenReadWrite(b)),
		} {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s of what is gone: %v", what, err)
			}
		}
		check(f.Close())
	})
}

func second[T any](_ T, err error) error { return err }

func wantBytes(t *testing.T, f vfs.File, want string) {
	t.Helper()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, size)
	if _, err := f.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if string(p) != want {
		t.Errorf("%q, want %q", p, want)
	}
}

func TestLock(t *testing.T) {
	both(t, func(t *testing.T, disk vfs.FS, dir string) {
		path := filepath.Join(dir, "LOCK")
		for range 2 {
			l, err := disk.Lock(path, "pid 12345")
			if err != nil {
				t.Fatal(err)
			}
			_, err = disk.Lock(path, "pid 6")
			if !errors.Is(err, vfs.ErrLocked) || !bytes.Contains([]byte(err.Error()), []byte("pid 12345")) {
				t.Errorf("second lock: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestCapacity(t *testing.T) {
	m := NewMem()
	m.SetCapacity(1000)
	f, err := m.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(750); err != nil {
		t.Fatal(err)
	}
	if u, _ := m.Usage(""); u.UsedPercent() != 75 || u.Free != 250 {
		t.Errorf("%+v", u)
	}
	if _, err := f.WriteAt(make([]byte, 2), 999); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("beyond the capacity: %v", err)
	}
}

// What was synced survives; what was not is there in every mixture sooner or later.
func TestCrashClone(t *testing.T) {
	m := NewMem()
	f, err := m.Create("d/f")
	if err != nil {
		t.Fatal(err)
	}
	write := func(s string, at int64) {
		if _, err := f.WriteAt([]byte(s), at); err != nil {
			t.Fatal(err)
		}
	}
	write("synced", 0)
	if _, err := m.CrashClone(nil).Open("d/f"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a name that was not synced: %v", err)
	}
	if err := m.SyncDir("d"); err != nil {
		t.Fatal(err)
	}
	wantClone(t, m.CrashClone(nil), "d/f", "")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	write("ABCD", 6)
	wantClone(t, m.CrashClone(nil), "d/f", "synced")
	wantClone(t, m.Clone(), "d/f", "syncedABCD")
	seen := map[string]bool{}
	for seed := range uint64(300) {
		c := m.CrashClone(rand.New(rand.NewPCG(seed, 0)))
		g, err := c.Open("d/f")
		if err != nil {
			t.Fatal(err)
		}
		size, _ := g.Size()
		p := make([]byte, size)
		g.ReadAt(p, 0)
		seen[string(p)] = true
	}
	for _, want := range []string{"synced", "syncedABCD", "syncedAB", "synced\x00\x00CD"} {
		if !seen[want] {
			t.Errorf("never saw %q: %v", want, seen)
		}
	}
	for got := range seen {
		if got[:6] != "synced" {
			t.Errorf("%q lost what was synced", got)
		}
	}
}

func wantClone(t *testing.T, m *Mem, path, want string) {
	t.Helper()
	f, err := m.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, f, want)
}

// Names change durably only with SyncDir of their folder; before it any of the changes may have
// happened.
func TestCrashCloneNames(t *testing.T) {
	m := NewMem()
	for _, name := range []string{"d/a", "d/b", "e/x"} {
		if _, err := m.Create(name); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.SyncDir("d"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Rename("d/a", "d/c"), m.Remove("d/b")); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for seed := range uint64(100) {
		c := m.CrashClone(rand.New(rand.NewPCG(seed, 0)))
		d, _ := c.List("d")
		e, _ := c.List("e")
		seen[fmt.Sprint(d, e)] = true
	}
	want := map[string]bool{}
	for _, d := range []string{"[a b]", "[a]", "[b c]", "[c]"} {
		want[d+"[]"], want[d+"[x]"] = true, true
	}
	// fmt.Sprint puts a space between operands that are no strings.
	got := map[string]bool{}
	for s := range seen {
		got[string(bytes.Replace([]byte(s), []byte("] ["), []byte("]["), 1))] = true
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if err := m.SyncDir("d"); err != nil {
		t.Fatal(err)
	}
	if d, _ := m.CrashClone(nil).List("d"); !reflect.DeepEqual(d, []string{"c"}) {
		t.Errorf("after SyncDir: %v", d)
	}
}

// A clone shares nothing with its origin.
func TestCloneIsApart(t *testing.T) {
	m := NewMem()
	f, err := m.Create("f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	c := m.Clone()
	g, err := c.OpenReadWrite("f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.WriteAt([]byte("X"), 0); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, f, "abc")
	wantClone(t, c.CrashClone(nil), "f", "abc")
}

// Each operation can be failed by its label.
func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	var fail Kind
	disk := WithFaults(NewMem(), func(op Op) error {
		if op.Kind == fail {
			return boom
		}
		return nil
	})
	f, err := disk.Create("d/f")
	if err != nil {
		t.Fatal(err)
	}
	for kind, do := range map[Kind]func() error{
		OpCreate:      func() error { return second(disk.Create("d/g")) },
		OpOpen:        func() error { return second(disk.Open("d/f")) },
		OpRename:      func() error { return disk.Rename("d/f", "d/f") },
		OpList:        func() error { return second(disk.List("d")) },
		OpStat:        func() error { return second(disk.Stat("d/f")) },
		OpMkdir:       func() error { return disk.MkdirAll("d") },
		OpSyncDir:     func() error { return disk.SyncDir("d") },
		OpLock:        func() error { return second(disk.Lock("d/l"+string(fail), "")) },
		OpUsage:       func() error { return second(disk.Usage("d")) },
		OpRead:        func() error { return second(f.ReadAt([]byte{0}, 0)) },
		OpWrite:       func() error { return second(f.WriteAt([]byte("abcd"), 0)) },
		OpTruncate:    func() error { return f.Truncate(4) },
		OpPreallocate: func() error { return f.Preallocate(4) },
		OpSync:        func() error { return f.Sync() },
		OpSize:        func() error { return second(f.Size()) },
		OpClose:       func() error { return f.Close() },
	} {
		fail = kind
		if err := do(); !errors.Is(err, boom) {
			t.Errorf("%s: %v", kind, err)
		}
		fail = ""
		if err := do(); errors.Is(err, boom) {
			t.Errorf("%s: still %v", kind, err)
		}
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	fail = OpWrite
	if n, err := f.WriteAt([]byte("abcd"), 0); n != 2 || !errors.Is(err, boom) {
		t.Errorf("write: %d, %v", n, err)
	}
	wantBytes(t, f, "ab")
	fail = OpRemove
	if err := disk.Remove("d/f"); !errors.Is(err, boom) {
		t.Errorf("remove: %v", err)
	}
}
