# What Doxygen reads in place of a file.
# Headers: the comment at the top, before the first #include, is about the file.
FILENAME ~ /\.h$/ && !done && /^(#include|namespace|\/\/\/)/ {
  sub("^///", "/// @file_comment")
  done = 1
}
# Markdown: links to other files of the project lead nowhere in the pages and become text.
FILENAME ~ /\.md$/ {
  while (match($0, /\[[^][]*\]\([^h#)][^)]*\)/) && substr($0, RSTART - 1, 1) != "!") {
    link = substr($0, RSTART, RLENGTH)
    text = substr(link, 2, index(link, "](") - 2)
    $0 = substr($0, 1, RSTART - 1) text substr($0, RSTART + RLENGTH)
  }
}
{ print }
