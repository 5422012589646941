package configs

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzParse checks that no text makes Parse panic, that every error names the file, and that a
// configuration which was accepted prints as one that reads back the same.
func FuzzParse(f *testing.F) {
	for _, tc := range parseCases {
		f.Add([]byte(tc.text))
	}
	samples, err := filepath.Glob("*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, sample := range samples {
		text, err := os.ReadFile(sample)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err != nil {
			for _, e := range err.(Errors) {
				if e.File != "f" || e.Text == "" {
					t.Errorf("%#v", e)
				}
			}
			return
		}
		c.Upstream.Password, c.Admin.Password = "", ""
		printed := c.String()
		back, errs := decode("f", []byte(printed))
		if len(errs) > 0 {
			t.Fatalf("printed as %s\nwhich is %v", printed, errs)
		}
		c.origin, back.origin = origin{}, origin{}
		if !reflect.DeepEqual(c, back) {
			t.Errorf("%s\nreads back as\n%s", printed, back)
		}
	})
}
