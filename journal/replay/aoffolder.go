package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"holdfast/journal/stream"
	"holdfast/journal/vfs"
)

// aofFolder is a server's append-only folder, read to its end: the files that its manifest names,
// in that order. Files of the type "h" are history: no server loads them.
type aofFolder struct {
	base     *rdbFile // nil: there is none, or it is not RDB
	commands *fingerprint
	lastTime time.Time // of the last timestamp (aof-timestamp-enabled); zero: none
	err      error     // its fault; nil: none visible
}

// aofFile is a line of a manifest.
type aofFile struct {
	name string
	kind string // b, i or h
}

// manifestOf finds the manifest of a folder.
func manifestOf(fs vfs.FS, dir string) (string, error) {
	names, err := fs.List(dir)
	if err != nil {
		return "", err
	}
	found := ""
	for _, name := range names {
		if !strings.HasSuffix(name, ".manifest") {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("%w: two manifests, %s and %s", errAOF, found, name)
		}
		found = name
	}
	if found == "" {
		return "", fmt.Errorf("%w: the folder has no manifest", errAOF)
	}
	return found, nil
}

var errAOF = errors.New("damaged append-only file")

// readAOF reads a folder. The error is one of the disk or of the context.
func readAOF(ctx context.Context, fs vfs.FS, dir string) (*aofFolder, error) {
	a := &aofFolder{commands: newFingerprint(fingerHeld)}
	files, err := readManifest(fs, dir)
	for i := 0; err == nil && i < len(files); i++ {
		err = a.readFile(ctx, fs, filepath.Join(dir, files[i].name), files[i].kind)
	}
	if errors.Is(err, errAOF) {
		a.err, err = err, nil
	}
	return a, err
}

// readManifest returns the files that a server would load.
func readManifest(fs vfs.FS, dir string) ([]aofFile, error) {
	name, err := manifestOf(fs, dir)
	if err != nil {
		return nil, err
	}
	text, err := readSmall(fs, filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	var out []aofFile
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f, err := parseManifestLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if f.kind != "h" {
			out = append(out, f)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s names no file", errAOF, name)
	}
	return out, nil
}

// parseManifestLine reads pairs of a word and its value: file NAME seq N type T, and the additions
// of newer versions.
func parseManifestLine(line string) (aofFile, error) {
	var f aofFile
	for line != "" {
		var key, value string
		key, line, _ = strings.Cut(line, " ")
		line = strings.TrimLeft(line, " ")
		if quoted, err := strconv.QuotedPrefix(line); err == nil {
			value, _ = strconv.Unquote(quoted)
			line = line[len(quoted):]
		} else {
			value, line, _ = strings.Cut(line, " ")
		}
		line = strings.TrimLeft(line, " ")
		switch key {
		case "file":
			f.name = value
		case "type":
			f.kind = value
		}
	}
	if f.name == "" || f.name != filepath.Base(f.name) || f.kind == "" ||
		!strings.Contains("bih", f.kind) {
		return f, fmt.Errorf("%w: a line that no server writes", errAOF)
	}
	return f, nil
}

// readSmall reads a small file whole.
func readSmall(fs vfs.FS, path string) (string, error) {
	const most = 1 << 20
	f, err := fs.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() // read-only
	size, err := f.Size()
	if err != nil {
		return "", err
	}
	if size > most {
		return "", fmt.Errorf("%w: a manifest of %d bytes", errAOF, size)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	return string(b), err
}

// readFile adds one file.
func (a *aofFolder) readFile(ctx context.Context, fs vfs.FS, path, kind string) error {
	name := filepath.Base(path)
	st, err := fs.Stat(path)
	if err != nil {
		return fmt.Errorf("%w: %s, which the manifest names: %w", errAOF, name, err)
	}
	f, err := fs.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // read-only
	var magic [5]byte
	n, _ := f.ReadAt(magic[:], 0) // shorter files fail below
	if m := string(magic[:n]); kind == "b" && (m == "REDIS" || m == "VALKE") {
		if a.base, err = readRDB(ctx, fs, path); err == nil && a.base.err != nil {
			err = fmt.Errorf("%w: %s: %w", errAOF, name, a.base.err)
		}
		return err
	}
	if err := a.readCommands(&reading{ctx, io.NewSectionReader(f, 0, st.Size)}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readCommands reads commands up to the end of a file, which must be the end of one.
func (a *aofFolder) readCommands(r io.Reader) error {
	sc := stream.NewScanner(stream.Options{DB: -1, MaxArg: wholeArg})
	buf := make([]byte, 256<<10)
	open := false // a transaction
	for {
		n, err := r.Read(buf)
		var syntax *stream.SyntaxError
		ferr := sc.Feed(time.Time{}, buf[:n], func(c *stream.Command) error {
			open = c.Tx == stream.TxBegin || c.Tx == stream.TxInside
			return a.command(c)
		})
		switch {
		case errors.As(ferr, &syntax):
			return fmt.Errorf("%w: byte %d: %s", errAOF, syntax.Offset, syntax.Why)
		case ferr != nil:
			return ferr
		case errors.Is(err, io.EOF) && !sc.Between():
			return fmt.Errorf("%w: it ends within a command, as after a crash: a server drops that one "+
				"(aof-load-truncated yes) or does not start", errAOF)
		case errors.Is(err, io.EOF) && open:
			return fmt.Errorf("%w: it ends within a transaction, which a server drops", errAOF)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (a *aofFolder) command(c *stream.Command) error {
	if len(c.Args) > 0 && strings.HasPrefix(string(c.Args[0]), "#") {
		text, ok := strings.CutPrefix(string(c.Args[0]), "#TS:")
		if s, err := strconv.ParseInt(text, 10, 64); ok && err == nil {
			a.lastTime = time.Unix(s, 0)
		}
		return nil
	}
	if c.End-c.Start != encodedLen(c.Args) {
		return fmt.Errorf("%w: byte %d: no command as servers write them", errAOF, c.Start)
	}
	a.commands.take(c)
	return nil
}

// encodedLen is the size of a command in bytes.
func encodedLen(args [][]byte) int64 {
	n := int64(len("*\r\n") + len(strconv.Itoa(len(args))))
	for _, a := range args {
		n += int64(len("$\r\n\r\n") + len(strconv.Itoa(len(a))) + len(a))
	}
	return n
}
