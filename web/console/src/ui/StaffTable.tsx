import { Table, type TableProps } from "antd";
import type { ReactNode } from "react";

export interface Column<T> {
  title: string;
  render: (row: T) => ReactNode;
  align?: "end";
  width?: number | string;
  /** Long words, which may take several lines. */
  wrap?: boolean;
  /** Left out where there is no room for it: what the row's own page says too. */
  spare?: boolean;
}

interface Props<T> {
  /** What the table is of, for who hears it. */
  name: string;
  rows: readonly T[];
  rowKey: keyof T & string;
  columns: readonly Column<T>[];
  loading?: boolean;
}

/** A table of a page that scrolls sideways where it must. */
export function StaffTable<T extends object>({ name, rows, rowKey, columns, loading = false }: Props<T>): ReactNode {
  const made: TableProps<T>["columns"] = columns.map(({ title, render, align, width, wrap = false, spare = false }) => ({
    key: title, title, render: (_, row) => render(row), className: wrap ? "c-cell c-cell--wrap" : "c-cell",
    ...(align && { align }), ...(width !== undefined && { width }), ...(spare && { responsive: ["xl"] }),
  }));
  return (
    <Table<T>
      aria-label={name}
      rowKey={rowKey}
      columns={made}
      dataSource={rows}
      loading={loading}
      pagination={false}
      size="middle"
      scroll={{ x: true }}
    />
  );
}
