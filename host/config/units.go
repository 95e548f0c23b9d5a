package config

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. It is written with a unit: "512KiB", "16MiB", "1GiB"; kB, MB and GB are powers of ten.
type Size int64

const (
	kibibyte Size = 1 << 10
	mebibyte Size = 1 << 20
	gibibyte Size = 1 << 30
	tebibyte Size = 1 << 40
)

type unit struct {
	suffix string
	bytes  Size
}

// units are in the order in which a suffix is looked for: "B" ends all others.
func units() []unit {
	return []unit{
		{"TiB", tebibyte},
		{"GiB", gibibyte},
		{"MiB", mebibyte},
		{"KiB", kibibyte},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"kB", 1e3},
		{"B", 1},
	}
}

// String returns the size in the largest binary unit that holds it exactly.
func (s Size) String() string {
	for _, u := range units()[:4] {
		if s != 0 && s%u.bytes == 0 {
			return strconv.FormatInt(int64(s/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

var (
	errNotSize     = errors.New("is not a size")
	errNotDuration = errors.New("is not a duration")
)

// parseSize reads a whole number with a unit; without one it counts bytes.
func parseSize(text string) (Size, error) {
	factor := Size(1)
	for _, u := range units() {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = number, u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || Size(n) > math.MaxInt64/factor {
		return 0, errNotSize
	}
	return Size(n) * factor, nil
}

// parseDuration reads what time.ParseDuration reads.
func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errNotDuration
	}
	return d, nil
}

// formatDuration prints a duration as a person would write it: 60s, 5m and 24h, not 1m0s, 5m0s and 24h0m0s. What it
// prints, parseDuration reads back exactly.
func formatDuration(d time.Duration) string {
	if d%time.Second == 0 && d.Abs() < 2*time.Minute {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	text := d.String()
	if d%time.Minute == 0 {
		text = strings.TrimSuffix(text, "0s")
	}
	if d%time.Hour == 0 {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
