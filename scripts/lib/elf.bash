# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Reading ELF files with od alone, because binutils is not on every machine. Layout: elf(5).

is_elf() { # FILE
	[[ $(od -An -v -tx1 -N4 -- "$1" 2>/dev/null) == ' 7f 45 4c 46' ]]
}

# Prints the unsigned number of SIZE bytes at OFFSET; 0 past the end of the file.
elf_number() { # FILE OFFSET SIZE
	local endian=little number
	[[ $(od -An -v -tu1 -j5 -N1 -- "$1") -eq 2 ]] && endian=big
	number=$(od -An -v -j"$2" -N"$3" -tu"$3" --endian="$endian" -- "$1" 2>/dev/null)
	echo $((${number:-0}))
}

# Prints class, byte order and machine: what a library and a program must have in common.
elf_identity() { # FILE
	local class=32-bit order=little-endian machine
	(($(elf_number "$1" 4 1) == 2)) && class=64-bit
	(($(elf_number "$1" 5 1) == 2)) && order=big-endian
	machine=$(elf_number "$1" 18 2)
	case $machine in
	3) machine=x86 ;;
	8) machine=MIPS ;;
	21) machine=POWER ;;
	22) machine=S/390 ;;
	40) machine=ARM ;;
	62) machine=x86-64 ;;
	183) machine=AArch64 ;;
	243) machine=RISC-V ;;
	258) machine=LoongArch ;;
	*) machine="machine $machine" ;;
	esac
	echo "$class $order $machine"
}

# Prints the loader a program asks for (PT_INTERP), or nothing where it is static.
elf_loader() { # FILE
	local file=$1 table size count header i
	if (($(elf_number "$file" 4 1) == 2)); then
		local e_phoff='32 8' e_phentsize='54 2' e_phnum='56 2' p_offset='8 8' p_filesz='32 8'
	else
		local e_phoff='28 4' e_phentsize='42 2' e_phnum='44 2' p_offset='4 4' p_filesz='16 4'
	fi
	table=$(elf_field "$file" 0 "$e_phoff")
	size=$(elf_field "$file" 0 "$e_phentsize")
	count=$(elf_field "$file" 0 "$e_phnum")
	for ((i = 0; i < count; i++)); do
		header=$((table + i * size))
		if (($(elf_number "$file" "$header" 4) == 3)); then
			bytes_of "$file" "$(elf_field "$file" "$header" "$p_offset")" \
				"$(elf_field "$file" "$header" "$p_filesz")" | tr -d '\0'
			return
		fi
	done
}

# Prints the names of all sections, one a line.
elf_section_names() { # FILE
	local file=$1 header
	if (($(elf_number "$file" 4 1) == 2)); then
		local e_shoff='40 8' e_shentsize='58 2' e_shstrndx='62 2' sh_offset='24 8' sh_size='32 8'
	else
		local e_shoff='32 4' e_shentsize='46 2' e_shstrndx='50 2' sh_offset='16 4' sh_size='20 4'
	fi
	header=$(($(elf_field "$file" 0 "$e_shoff") +
		$(elf_field "$file" 0 "$e_shstrndx") * $(elf_field "$file" 0 "$e_shentsize")))
	((header)) || return 0
	bytes_of "$file" "$(elf_field "$file" "$header" "$sh_offset")" "$(elf_field "$file" "$header" "$sh_size")" |
		tr '\0' '\n'
}

# FIELD is the offset in its header and the size, as 'OFFSET SIZE'.
elf_field() { # FILE HEADER FIELD
	elf_number "$1" $(($2 + ${3% *})) "${3#* }"
}

bytes_of() { # FILE OFFSET SIZE
	tail -c +$(($2 + 1)) -- "$1" | head -c "$3"
}

# Prints offset and size of the table of dynamic symbols and of its strings; nothing where there is none.
elf_dynamic_tables() { # FILE
	local file=$1 words offset size count width
	if (($(elf_number "$file" 4 1) == 2)); then
		local e_shoff='40 8' e_shentsize='58 2' e_shnum='60 2'
		words='7 9 11'
	else
		local e_shoff='32 4' e_shentsize='46 2' e_shnum='48 2'
		words='5 6 7'
	fi
	offset=$(elf_field "$file" 0 "$e_shoff") width=$(elf_field "$file" 0 "$e_shentsize")
	count=$(elf_field "$file" 0 "$e_shnum")
	size=$((width * count))
	((offset && size)) || return 0
	# Sections as words of four bytes: offsets and sizes beyond 4 GiB, and so their other halves, do not occur.
	elf_words "$file" "$offset" "$size" "$width" | awk -v words="$words" -v big="$(elf_is_big "$file")" '
		BEGIN { split(words, w, " "); half = big && w[1] == 7 }
		{ type[NR - 1] = $2; offset[NR - 1] = $(w[1] + half); size[NR - 1] = $(w[2] + half); link[NR - 1] = $w[3] }
		$2 == 11 { symbols = NR - 1; found = 1 }
		END { if (found) print offset[symbols], size[symbols], offset[link[symbols]], size[link[symbols]] }'
}

# Prints the names of the dynamic symbols that a file takes from others (WHICH: imported) or gives them (exported), one
# a line.
elf_symbols() { # FILE WHICH
	local file=$1 tables width=16 place=4
	(($(elf_number "$file" 4 1) == 2)) && width=24 place=2
	read -r -a tables < <(elf_dynamic_tables "$file")
	((${#tables[@]} == 4)) || return 0
	# The word that holds st_info, st_other and st_shndx; a name may begin within another one.
	LC_ALL=C awk -v which="$2" -v place="$place" -v big="$(elf_is_big "$file")" '
		NR == FNR { at[next_offset] = $0; next_offset += length($0) + 1; next }
		{
			section = big ? $place % 65536 : int($place / 65536)
			bind = int((big ? $place / 16777216 : $place % 256) / 16)
			if (!$1 || (section == 0) != (which == "imported") || bind == 0)
				next
			for (start = $1; start > 0 && !(start in at); start--)
				;
			print substr(at[start], $1 - start + 1)
		}' <(bytes_of "$file" "${tables[2]}" "${tables[3]}" | tr '\0' '\n') \
		<(elf_words "$file" "${tables[0]}" "${tables[1]}" "$width")
}

elf_is_big() { # FILE
	(($(elf_number "$1" 5 1) == 2)) && echo 1 || echo 0
}

# Prints SIZE bytes from OFFSET on as numbers of four bytes, WIDTH bytes a line.
elf_words() { # FILE OFFSET SIZE WIDTH
	local endian=little
	(($(elf_is_big "$1"))) && endian=big
	od -An -v -tu4 -j"$2" -N"$3" -w"$4" --endian="$endian" -- "$1"
}
