package config

import "strings"

// nearest returns the candidate that differs least from a name, the first of several. It compares whole names, and
// the last parts of dotted names at the price of one edit, so that a key without its section is found too, and one
// that is written short ("token") at the price of two.
func nearest(name string, candidates []string) string {
	best, least := "", 0
	for _, candidate := range candidates {
		d := distance(name, candidate)
		if leaf := distance(last(name), last(candidate)) + 1; leaf < d {
			d = leaf
		}
		if short := last(name); len(short) > 2 && strings.Contains(last(candidate), short) {
			d = min(d, 2)
		}
		if best == "" || d < least {
			best, least = candidate, d
		}
	}
	return best
}

func last(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// distance is the number of bytes to insert, delete, replace or swap with their neighbour to make one name of the
// other. Names longer than any key are cut first, so that a long one costs no more.
func distance(a, b string) int {
	const longest = 64
	a, b = strings.ToLower(a[:min(len(a), longest)]), strings.ToLower(b[:min(len(b), longest)])
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
