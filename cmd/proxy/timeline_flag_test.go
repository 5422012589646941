package main

import "testing"

func TestTimelineFlag(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]timelineFlag{"3": {id: 3}, "current": {current: true}} {
		var f timelineFlag
		if err := f.Set(text); err != nil || f != want || f.String() != text {
			t.Errorf("%s: %+v, %v", text, f, err)
		}
	}
	for _, bad := range []string{"", "0", "-1", "x", "Current", "99999999999"} {
		if err := new(timelineFlag).Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
