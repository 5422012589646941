package configs

import (
	"errors"
	"strconv"
)

// Share is a part of a whole, from 0 to 1.
type Share float64

var errNotShare = errors.New("expected a number from 0 to 1")

func parseShare(text string) (Share, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) { // written so that NaN fails
		return 0, errNotShare
	}
	return Share(f), nil
}

// MarshalYAML prints the share without an exponent, which the parser would take for text.
func (s Share) MarshalYAML() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s), 'f', -1, 64), nil
}
