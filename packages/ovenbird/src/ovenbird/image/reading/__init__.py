"""Reading images: what is in one, unpacking it, and what differs between two.

Everything is read in place, at an offset in a file: no root, no loop device, nothing mounted. The formats are the ones
that images are written in (GPT, FAT, squashfs, cpio); real tools read the file systems. Images may come from anywhere,
so whatever is damaged, cut off or foreign ends as one `ImageError`.
"""
