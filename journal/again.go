package journal

import (
	"slices"

	"holdfast/journal/segment"
	"holdfast/journal/vfs"
)

// Again reads the folder again. A snapshot from elsewhere (see [View.From]) stays in the place of
// the bases. Only the new part of a segment that has grown is read.
func (v *View) Again() (*View, error) {
	out, err := v.further()
	if out == nil && err == nil {
		out, err = Salvage(v.fs, v.dir)
	}
	if err == nil && v.from != "" {
		out = out.From(v.catalog.bases[0])
	}
	return out, err
}

// Written reports whether a process is writing the journal.
func (v *View) Written() (bool, error) { return InUse(v.fs, v.dir) }

// further returns the view extended by the frames appended to the last segment since. It is nil if
// more than that has happened, or if the frames that follow need a verdict: then read the whole
// folder.
func (v *View) further() (*View, error) {
	if v.own == nil || len(v.segments) == 0 || len(v.damages) > 0 {
		return nil, nil
	}
	names, err := v.fs.List(v.dir)
	if err != nil || !slices.Equal(segmentsOf(names), segmentsOf(v.names)) {
		return nil, err
	}
	f := v.folder
	f.names, f.catalog, f.segments = names, v.own.clone(), slices.Clone(v.segments)
	s := &f.segments[len(f.segments)-1]
	s.Ranges = slices.Clone(s.Ranges)
	var clean bool
	err = f.with(s.File, func(file vfs.File) (err error) {
		f.last, clean, err = segment.ScanOn(file, f.last, func(fr segment.Frame, size int, payload []byte) error {
			s.note(fr, size)
			return f.catalog.apply(fr, size, payload)
		})
		return err
	})
	if err != nil || !clean {
		return nil, nil // the caller reads the whole folder
	}
	s.Bytes, s.Sealed = f.last.End, f.last.Sealed
	f.markMissing()
	return newView(f), nil
}

// newView makes the view of a loaded folder.
func newView(f folder) *View { return &View{folder: f, own: f.catalog} }

func segmentsOf(names []string) (out []string) {
	for _, name := range names {
		if _, ok := parseSegment(name); ok {
			out = append(out, name)
		}
	}
	return out
}
